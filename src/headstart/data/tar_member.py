"""A file in a tar that is read in place: some bytes of it, on a disk or elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from headstart.addresses.address import address_in, shown_place
from headstart.data.remote_file import RemoteFile
from headstart.data.unreadable import UnreadableImage, check_size
from headstart.errors import first_line


@dataclass(frozen=True, slots=True)
class TarMember(RemoteFile):
    """A member of the tar at `address`, which may be a path of this machine; `version` is that of the tar."""

    member: str = ""
    start: int = 0  # of its first byte

    @property
    def name(self) -> str:
        return self.member.rpartition("/")[2]

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.address, self.member, self.start, self.size or 0, self.version

    def read(self) -> bytes:
        size = self.size or 0
        check_size(size)
        try:
            return self._bytes(size)
        except FileNotFoundError as error:
            raise UnreadableImage("its tar does not exist") from error
        except Exception as error:  # the clients of the stores have no common class
            raise UnreadableImage(f"it cannot be read from its tar: {first_line(error)}") from error

    def _bytes(self, size: int) -> bytes:
        if not size:
            return b""
        if address_in(self.address) is None:
            with Path(self.address).open("rb") as file:
                file.seek(self.start)
                data = file.read(size)
            if len(data) != size:
                raise EOFError(f"{len(data)} of {size} bytes are there")
            return data
        from headstart.addresses.filesystems import read_slice

        return read_slice(self.address, self.start, size)

    def __str__(self) -> str:
        return f"{shown_place(self.address)}!{self.member}"
