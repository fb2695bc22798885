"""Trees of folders: those of this machine, and what was listed elsewhere. What they mean is found out in the same way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, Protocol

from headstart.data.image_files import ImageFile
from headstart.data.shown_paths import ShownPaths
from headstart.data.walking import files_below, folders_of, loose_images, what_is_below

Below = Literal["images", "documents", "nothing"]


class Folders(Protocol):
    """Folders by name, and what kinds of files are in them; hidden ones are left out."""

    def folders_of(self, folder: PurePath) -> list[PurePath]:
        """The folders in a folder, in natural order. Raises DataError."""
        ...

    def loose_images(self, folder: PurePath) -> Sequence[PurePath]:
        """The files directly in a folder that are called like images, in natural order. Raises DataError."""
        ...

    def what_is_below(self, folder: PurePath) -> Below:
        """What the names of the files below a folder say that they are: one that could be an image decides.

        Raises DataError.
        """
        ...

    def shown(self, path: PurePath) -> str:
        """A file or folder as people are shown it."""
        ...


class Tree(Folders, Protocol):
    """Folders and the files in them."""

    def files_below(self, folder: PurePath) -> Iterator[PurePath]:
        """All files below, in natural order. Raises DataError."""
        ...

    def file_of(self, path: PurePath) -> ImageFile:
        """Where the bytes of a file are."""
        ...


@dataclass(frozen=True, slots=True)
class TreeOnDisk:
    """The folders of this machine."""

    shown_paths: ShownPaths

    def folders_of(self, folder: PurePath) -> list[PurePath]:
        """Without links that lead back up."""
        return [path for path in folders_of(Path(folder)) if not _leads_back(path)]

    def loose_images(self, folder: PurePath) -> Sequence[PurePath]:
        return loose_images(Path(folder))

    def what_is_below(self, folder: PurePath) -> Below:
        return what_is_below(Path(folder))

    def files_below(self, folder: PurePath) -> Iterator[PurePath]:
        return files_below(Path(folder))

    def file_of(self, path: PurePath) -> ImageFile:
        return Path(path)

    def shown(self, path: PurePath) -> str:
        return self.shown_paths(Path(path))


def _leads_back(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
