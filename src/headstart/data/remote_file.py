"""An image file that is somewhere else: in object storage, or behind a link."""

from dataclasses import dataclass

from headstart.addresses.address import name_of, shown
from headstart.data.unreadable import Fault, UnreadableImage, check_size
from headstart.errors import first_line

NOT_FETCHED = "it cannot be fetched"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file by its address."""

    address: str
    size: int | None = None  # bytes, if the store says it
    version: str = ""  # changes when the content does; "" if the store says nothing

    @property
    def name(self) -> str:
        """Its name, without the folders."""
        return name_of(self.address)

    def read(self) -> bytes:
        """Its bytes. Raises UnreadableImage with what the store said."""
        from headstart.addresses.filesystems import read

        if self.size is not None:
            check_size(self.size)
        try:
            return read(self.address, self.size)
        except FileNotFoundError as error:
            raise UnreadableImage("the file does not exist") from error
        except Exception as error:  # the clients of the stores have no common class
            raise UnreadableImage(f"{NOT_FETCHED}: {first_line(error)}") from error

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What tells it from others, and from what it was before."""
        return self.address, self.size or 0, self.version

    def resolve(self) -> "RemoteFile":
        """Itself: there are no links to follow."""
        return self

    def __str__(self) -> str:
        return shown(self.address)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching a file: its bytes, or why they cannot be had."""

    data: bytes = b""
    problem: str = ""
    fault: Fault = "damaged"

    @classmethod
    def of(cls, file: RemoteFile) -> "Fetched":
        """Fetches a file."""
        try:
            return cls(file.read())
        except UnreadableImage as unreadable:
            return cls(b"", unreadable.reason, unreadable.fault)

    def read(self) -> bytes:
        """Its bytes. Raises UnreadableImage."""
        if self.problem:
            raise UnreadableImage(self.problem, self.fault)
        return self.data
