"""Folders at an address, such as a model, as copies on this machine for as long as the process lives."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from headstart.addresses.address import joined
from headstart.addresses.filesystems import fetch, listed_below


@cache
def copied_folder(address: str) -> Path:
    """A copy of all files below an address. Raises HeadstartError."""
    folder = Path(tempfile.mkdtemp(prefix="headstart-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    fetch_folder(address, folder)
    return folder


def fetch_folder(address: str, folder: Path) -> None:
    """Copies all files below an address into a folder. Raises HeadstartError."""
    start = joined(address, "")
    for page in listed_below(address):
        for one in page:
            parts = one.address.removeprefix(start).split("/")
            if not {"", ".", ".."}.intersection(parts):  # a key may be anything, a file's name may not lead out of the folder
                place = folder.joinpath(*parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                fetch(one.address, place)
