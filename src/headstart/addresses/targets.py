"""Results that are written to an address: made below home(), then sent; what cannot be sent stays there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.addresses.address import address_in, joined, name_of, shown
from headstart.errors import DataError, HeadstartError
from headstart.locks import locked
from headstart.storage import AnyPath, home, sha256_of_bytes

OUTGOING = "outgoing"  # the folder of home() for what is to be sent


@contextmanager
def target_file(output: AnyPath) -> Iterator[Path]:
    """Yields the file to write: `output`, or one of this machine that is sent to the address when the block has succeeded.

    Raises HeadstartError if it cannot be sent, and says where it is.
    """
    address = address_in(str(output))
    if address is None:
        yield Path(output)
        return
    from headstart.addresses.filesystems import put

    with _written_alone(address) as file:
        shutil.rmtree(file.parent, ignore_errors=True)  # of an earlier command: killed, or not sent
        file.parent.mkdir(parents=True)
        try:
            yield file
        except BaseException:
            shutil.rmtree(file.parent, ignore_errors=True)
            raise
        with _kept_if_not_sent(file, address):
            put(file, address)
        shutil.rmtree(file.parent, ignore_errors=True)


@contextmanager
def target_folder(address: str, last: str) -> Iterator[Path]:
    """Yields the place for a folder, which is sent when the block has succeeded: the file `last` when all others are there.

    What was below the address before is replaced. If the block fails, what it leaves stays: perhaps an unfinished run.
    Raises HeadstartError if the folder cannot be sent, and says where it is.
    """
    with _written_alone(address) as folder:
        try:
            yield folder
        except BaseException:
            with suppress(OSError):
                folder.parent.rmdir()  # if it is empty
            raise
        with _kept_if_not_sent(folder, address):
            _send(folder, address, last)
        shutil.rmtree(folder.parent, ignore_errors=True)


@contextmanager
def _written_alone(address: str) -> Iterator[Path]:
    """Where the result for an address is made: always in the same place, by one process at a time. Raises SettingsError."""
    place = home() / OUTGOING / sha256_of_bytes(address.encode())[:16]
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f"{place.name}.lock"), shown(address)):
        yield place / (name_of(address) or "result")


@contextmanager
def _kept_if_not_sent(result: Path, address: str) -> Iterator[None]:
    try:
        yield
    except HeadstartError as error:
        raise DataError(
            f"the result is complete, but cannot be sent: {error.message}", hint=f"copy it to {shown(address)} from {result}"
        ) from error


def _send(folder: Path, address: str, last: str) -> None:
    from headstart.addresses.filesystems import listed_if_there, put, remove_below

    before = {one.address for page in listed_if_there(address) for one in page}
    files = {joined(address, *file.relative_to(folder).parts): file for file in folder.rglob("*") if file.is_file()}
    for target in sorted(files, key=lambda target: (target == joined(address, last), target)):
        put(files[target], target)
    for left in before - files.keys():
        remove_below(left)
