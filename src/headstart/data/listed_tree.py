"""The tree of the objects that were listed below an address: their keys are taken for paths."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

from headstart.addresses.address import joined, shown
from headstart.data.image_files import ImageFile
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import in_natural_order, printable
from headstart.data.trees import Below
from headstart.data.walking import IMAGE_ENDINGS, is_hidden_name, may_be_image

if TYPE_CHECKING:
    from headstart.addresses.filesystems import Listed

ROOT = PurePosixPath(".")


@dataclass(slots=True)
class _Folder:
    """What is directly in a folder."""

    folders: set[str] = field(default_factory=set)
    files: dict[str, RemoteFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedTree:
    """Folders and files below an address, ordered as on a disk."""

    address: str
    _folders: dict[PurePosixPath, _Folder]

    @classmethod
    def of(cls, address: str, listed: "Iterable[Listed]") -> "ListedTree":
        """The tree of what was listed, without what is hidden."""
        folders = {ROOT: _Folder()}
        start = joined(address, "")
        for one in listed:
            folder, _, name = one.address.removeprefix(start).rpartition("/")
            if not is_left_out(folder, name):
                file = RemoteFile(one.address, one.size, one.version)
                _folder(folders, path_of(folder)).files.setdefault(name, file)
        return cls(address, folders)

    def folders_of(self, folder: PurePath) -> list[PurePath]:
        return [folder / name for name in in_natural_order(self._at(folder).folders)]

    def loose_images(self, folder: PurePath) -> Sequence[PurePath]:
        return [path for path in self._files_in(folder) if path.suffix.lower() in IMAGE_ENDINGS]

    def what_is_below(self, folder: PurePath) -> Below:
        names = [path.name for path in self.files_below(folder)]
        return "images" if any(map(may_be_image, names)) else "documents" if names else "nothing"

    def files_below(self, folder: PurePath) -> Iterator[PurePath]:
        yield from self._files_in(folder)
        for inner in self.folders_of(folder):
            yield from self.files_below(inner)

    def file_of(self, path: PurePath) -> ImageFile:
        return self._at(path.parent).files[path.name]

    def shown(self, path: PurePath) -> str:
        above = self._folders.get(PurePosixPath(path.parent))
        file = above.files.get(path.name) if above else None
        if file is not None:
            return printable(str(file))
        return printable(shown(self.address if path == ROOT else joined(self.address, path.as_posix())))

    def _files_in(self, folder: PurePath) -> Iterator[PurePath]:
        return (folder / name for name in in_natural_order(self._at(folder).files))

    def _at(self, folder: PurePath) -> _Folder:
        return self._folders[PurePosixPath(folder)]


@lru_cache(1000)
def path_of(key: str) -> PurePosixPath:
    """A key as a path: what is between slashes. Keys may have several in a row, or begin with one; paths do not."""
    return PurePosixPath(*filter(None, key.split("/")))


def is_left_out(folder: str, name: str) -> bool:
    """Whether a file or one of its folders belongs to a tool or the system."""
    return is_hidden_name(name) or _is_hidden(folder)


@lru_cache(1000)
def _is_hidden(folder: str) -> bool:
    return any(map(is_hidden_name, filter(None, folder.split("/"))))


def _folder(folders: dict[PurePosixPath, _Folder], path: PurePosixPath) -> _Folder:
    """The folder at a path, which is made known to those above it if it is new."""
    if path not in folders:
        folders[path] = _Folder()
        _folder(folders, path.parent).folders.add(path.name)
    return folders[path]
