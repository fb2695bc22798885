"""`headstart studio`."""

import logging
import sys
import webbrowser
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from headstart.apps.console import check_here, command, say
from headstart.apps.doors import Host, TokenFile, address_of, note_if_open, token_in
from headstart.apps.options import DEFAULT, ChannelsOption, EveryOption
from headstart.data.wording import counted
from headstart.errors import explains_missing_packages
from headstart.settings import TrainSettings

PATIENCE_SECONDS = 0.2  # in which most projects are open: the page of others is shown before
GRACE_SECONDS = 1  # for what is going on when it ends; a page sends again what was not answered
DEFAULT_BACKBONE = TrainSettings().backbone


@dataclass(frozen=True, slots=True)
class _Doors:
    """Where the studio listens, who may use it, and whether a browser is opened there."""

    host: str
    port: int
    token: str
    opens_browser: bool


@command
def studio(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Images in any form that train takes, or without labels.")],
    project: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where labels and runs are kept. [default: projects/NAME, NAME being that of DATA]"),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
    token_file: TokenFile = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    backbone: Annotated[str, typer.Option(help="The network whose features the studio compares images by.")] = DEFAULT_BACKBONE,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the backbone's weights from this .safetensors or .pth file.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download anything.")] = False,
    channels: ChannelsOption = DEFAULT.channels,
    every: EveryOption = DEFAULT.every,
) -> None:
    """Look at images, label and correct them in the browser, and see how good a model is meanwhile.

    Your files stay as they are: labels are kept in the project, which `train DATA --labels DIR` uses.

    Examples:

      headstart studio photos

      headstart studio photos --project photos-labels --no-browser

      headstart studio clips --every 2s
    """
    settings = TrainSettings.of(
        effort="quick", backbone=backbone, weights=weights, offline=offline, channels=channels, every=every
    )
    doors = _Doors(host, port, token_in(token_file), opens_browser=not no_browser)
    check_here(project, "--project")
    _studio(data, project, settings, doors)


@explains_missing_packages("the studio", extra="studio")
def _studio(data: str, project: Path | None, settings: TrainSettings, doors: _Doors) -> None:
    from headstart.apps.http.access import Access
    from headstart.apps.http.limits import Limits
    from headstart.apps.http.server import grace_seconds, is_public, listen, serve_forever
    from headstart.apps.studio.early_page import EarlyPage, Opening
    from headstart.apps.studio.session import Session
    from headstart.apps.studio.session_opening import open_session
    from headstart.apps.studio.studio_app import PAGES

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    limits = Limits()
    host, token = doors.host, doors.token
    with listen(host, doors.port) as listener, closing(Opening(open_session(data, project, settings, limits))) as opening:
        session = opening.opened_within(PATIENCE_SECONDS)
        public = is_public(listener.getsockname()[0])
        access = Access.of(host, is_public=public, token=token, pages=PAGES)
        note_if_open(host, public=public, token=token)
        address = address_of(listener, host)
        name = session.name if session else Path(data).resolve().name

        def ready() -> None:
            kept = f"labels are kept in {session.project.folder}" if session else "its images are being listed"
            say(f"{name} at {address}  (Ctrl-C to stop); {kept}")
            sys.stdout.flush()
            if doors.opens_browser:
                webbrowser.open(address)

        def opened(late: Session) -> None:
            if session is None:
                say(f"{late.name}: {counted(len(late.bench.catalogue), 'image')}; labels are kept in {late.project.folder}")
                sys.stdout.flush()

        early, grace = EarlyPage(opening, access, limits, opened), min(GRACE_SECONDS, grace_seconds(limits))
        serve_forever(early.app, listener, ready, grace=grace, on_end=early.end, is_over=opening.has_failed)
