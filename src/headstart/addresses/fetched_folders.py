"""What is at an address as copies on this machine: a folder, such as a model, or a file, such as a table."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from headstart.addresses.address import joined, name_of
from headstart.addresses.filesystems import fetch, listed_below
from headstart.storage import temporary_folder


@cache
def copied_folder(address: str) -> Path:
    """A copy of all files below an address, for as long as the process lives. Raises HeadstartError."""
    folder = temporary_folder()
    fetch_folder(address, folder)
    return folder


@contextmanager
def copied_file(address: str) -> Iterator[Path]:
    """A copy of a file, with its name, while the block runs. Raises HeadstartError."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        copy = Path(folder) / name_of(address)
        fetch(address, copy)
        yield copy


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
