"""Results that are written to an address: made in a file of this machine, then sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from headstart.addresses.address import address_in, name_of
from headstart.storage import AnyPath


@contextmanager
def target_file(output: AnyPath) -> Iterator[Path]:
    """Yields the file to write: `output`, or one of this machine that is sent to the address when the block has succeeded.

    Raises HeadstartError if it cannot be sent.
    """
    address = address_in(str(output))
    if address is None:
        yield Path(output)
        return
    from headstart.addresses.filesystems import put

    with TemporaryDirectory(prefix="headstart-") as folder:
        file = Path(folder) / (name_of(address) or "result")
        yield file
        put(file, address)
