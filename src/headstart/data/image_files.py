"""Where the bytes of an image are: a file here, a file elsewhere, or a box in the picture of one of these."""

from dataclasses import dataclass, replace
from pathlib import Path

from headstart.addresses.address import address_in, folder_of, name_of
from headstart.data.boxes import Box, boxed_name
from headstart.data.remote_file import RemoteFile

WholeFile = Path | RemoteFile


@dataclass(frozen=True, slots=True)
class BoxInFile:
    """Where the bytes of an image are that is a box in the picture of a file."""

    picture: WholeFile
    box: Box

    @property
    def name(self) -> str:
        """The picture's name and the box."""
        return boxed_name(self.picture.name, self.box)

    def resolve(self) -> "BoxInFile":
        """The same box in the file that links lead to."""
        return replace(self, picture=self.picture.resolve())

    def __str__(self) -> str:
        return boxed_name(str(self.picture), self.box)


ImageFile = WholeFile | BoxInFile


def image_file(given: str | Path) -> WholeFile:
    """The file that a path or an address names."""
    address = address_in(given)
    return Path(given) if address is None else RemoteFile(address)


def remote_part(file: ImageFile) -> RemoteFile | None:
    """The file elsewhere that has to be fetched for an image, also for a box in a picture; None if it is on this machine."""
    place = whole_file(file)
    return place if isinstance(place, RemoteFile) else None


def whole_file(file: ImageFile) -> WholeFile:
    """The file itself, of a box the picture's."""
    return file.picture if isinstance(file, BoxInFile) else file


def folder_name(file: ImageFile) -> str:
    """The name of the folder that a file is in."""
    place = whole_file(file)
    return name_of(folder_of(place.address)) if isinstance(place, RemoteFile) else place.parent.name


def picture_shown(path: str, file: ImageFile) -> str:
    """The path of a picture as people are shown it, from that of an image: of a box in it, or of the picture itself."""
    return path.removesuffix(f"#{file.box}") if isinstance(file, BoxInFile) else path
