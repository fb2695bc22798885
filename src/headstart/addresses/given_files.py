"""Files that the user named: on this machine, or at an address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.addresses.address import address_in


@contextmanager
def given_file(named: Path) -> Iterator[Path]:
    """The file itself, or a copy of what is at the address while the block runs. Raises HeadstartError."""
    address = address_in(named)
    if address is None:
        yield named
        return
    from headstart.addresses.fetched_folders import copied_file

    with copied_file(address) as copy:
        yield copy
