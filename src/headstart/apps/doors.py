"""Where a server listens and the token that it asks for: what `serve` and `studio` have in common."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import note
from headstart.errors import SettingsError

TOKEN_VARIABLE = "HEADSTART_TOKEN"

Host = Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 means all addresses of this machine.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"Requests must carry the token in this file (or in ${TOKEN_VARIABLE}).")
]


def token_in(file: Path | None) -> str:
    """The token from the file, else from the environment; "" without either. Raises SettingsError if it cannot be used."""
    if file is None and not os.environ.get(TOKEN_VARIABLE):
        return ""
    place = f"${TOKEN_VARIABLE}" if file is None else str(file)
    token = os.environ[TOKEN_VARIABLE].strip() if file is None else file.read_bytes().decode("utf-8", "replace").strip()
    if not token or not token.isascii() or any(sign.isspace() for sign in token):
        raise SettingsError(
            f"{place} does not contain a token", hint="write one line of letters and digits, e.g. from: openssl rand -hex 32"
        )
    return token


def note_if_open(host: str, *, public: bool, token: str) -> None:
    """Notes that others can use the server, if they can."""
    if public and not token:
        note(f"{host} can be reached from other machines and needs no token: see --token-file")


def address_of(listener: socket.socket, host: str) -> str:
    """The address of a server that was started with `--host host`, as a browser takes it."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
