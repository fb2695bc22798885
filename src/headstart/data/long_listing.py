"""The listing of an address with more objects than memory should hold: in Parquet files, in the order of the store.

A listing that was interrupted goes on after its last file where the store can do that. It is removed when what it was made for
is finished; until then, who starts the same again goes on with it.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow
import pyarrow.parquet

from headstart.addresses.address import joined, shown
from headstart.data.listed_tree import ROOT, is_left_out, path_of
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import in_natural_order, printable
from headstart.data.trees import Below
from headstart.data.walking import may_be_image
from headstart.storage import atomic_write

if TYPE_CHECKING:
    from headstart.addresses.filesystems import Listed

ROWS = 20_000  # of a file
END = "complete"  # a file whose presence says so
SCHEMA = pyarrow.schema(
    [
        ("folder", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),  # what is between the address and the name
        ("name", pyarrow.string()),
        ("size", pyarrow.int64()),
        ("version", pyarrow.string()),
    ]
)


@dataclass(slots=True)
class _Counts:
    """The files directly in a folder, and the folders in it."""

    files: int = 0
    may_be_images: int = 0
    folders: set[str] = field(default_factory=set)


@dataclass(slots=True)
class LongListing:
    """A listing in a folder of this machine."""

    place: Path
    address: str
    folders: dict[PurePosixPath, _Counts] = field(default_factory=dict)
    n_parts: int = 0
    n_listed: int = 0  # objects that are not hidden
    last: str = ""  # the address of the last object

    @classmethod
    def open(cls, place: Path, address: str) -> "LongListing":
        """The listing as far as it has come."""
        found = cls(place, address)
        while found._part(found.n_parts).is_file():
            table = found._read(found.n_parts)
            found._count(table)
            found.n_parts += 1
            if table.num_rows:
                (row,) = table.slice(table.num_rows - 1).to_pylist()
                found.last = found._start + row["folder"] + row["name"]
        return found

    @property
    def _start(self) -> str:
        return joined(self.address, "")

    @property
    def is_complete(self) -> bool:
        """Whether everything is listed."""
        return (self.place / END).is_file()

    @property
    def written_at(self) -> float:
        """When everything was listed, in seconds since 1970."""
        return (self.place / END).stat().st_mtime

    def add(self, listed: "Iterable[Listed]") -> Iterator[int]:
        """Writes what comes next in the listing; yields the number of objects after each file."""
        source = iter(listed)
        while rows := list(islice(source, ROWS)):
            self.last = rows[-1].address
            keys = [one.address.removeprefix(self._start).rpartition("/") for one in rows]
            table = _table([(folder + slash, name, one) for (folder, slash, name), one in zip(keys, rows, strict=True)])
            with atomic_write(self._part(self.n_parts)) as aside:
                pyarrow.parquet.write_table(table, aside)
            self._count(table)
            self.n_parts += 1
            yield self.n_listed

    def end(self) -> None:
        """Notes that everything is listed."""
        with atomic_write(self.place / END) as aside:
            aside.touch()

    def remove(self) -> None:
        """Removes the files."""
        shutil.rmtree(self.place, ignore_errors=True)

    def files(self, number: int) -> Iterator[tuple[PurePosixPath, RemoteFile]]:
        """Yields what a file of the listing names: each with the folder that it is in."""
        columns = (column.to_pylist() for column in self._read(number).columns)
        for folder, name, size, version in zip(*columns, strict=True):
            yield path_of(folder), RemoteFile(self._start + folder + name, size, version)

    def n_in_folders(self, number: int) -> Iterator[tuple[PurePosixPath, int]]:
        """Yields the folders that a file of the listing names, with how many of its files are in each."""
        for folder, names in _by_folder(self._read(number)):
            yield path_of(folder), len(names)

    def folder_of(self, file: RemoteFile) -> PurePosixPath:
        """The folder that a file of the listing is in."""
        return path_of(file.address.removeprefix(self._start).rpartition("/")[0])

    def n_below(self, folder: PurePath) -> int:
        """How many files are below a folder."""
        return sum(counts.files for path, counts in self.folders.items() if path.is_relative_to(folder))

    # What folders mean is found out from their names.

    def folders_of(self, folder: PurePath) -> list[PurePath]:
        return [folder / name for name in in_natural_order(self._at(folder).folders)]

    def loose_images(self, folder: PurePath) -> Sequence[PurePath]:
        return ()  # they would be too many to tell one by one

    def what_is_below(self, folder: PurePath) -> Below:
        counts = self._at(folder)
        if counts.may_be_images:
            return "images"
        inner = {self.what_is_below(path) for path in self.folders_of(folder)}
        return "images" if "images" in inner else "documents" if counts.files or "documents" in inner else "nothing"

    def shown(self, path: PurePath) -> str:
        return printable(shown(self.address if path == ROOT else joined(self.address, path.as_posix())))

    def _at(self, folder: PurePath) -> _Counts:
        return self.folders[PurePosixPath(folder)]

    def _part(self, number: int) -> Path:
        return self.place / f"{number:06}.parquet"

    def _read(self, number: int) -> pyarrow.Table:
        return pyarrow.parquet.read_table(self._part(number), memory_map=False)

    def _count(self, table: pyarrow.Table) -> None:
        self.n_listed += table.num_rows
        for folder, names in _by_folder(table):
            counts = self._known(path_of(folder))
            counts.files += len(names)
            counts.may_be_images += sum(map(may_be_image, names))

    def _known(self, folder: PurePosixPath) -> _Counts:
        if folder not in self.folders:
            self.folders[folder] = _Counts()
            if folder != ROOT:
                self._known(folder.parent).folders.add(folder.name)
        return self.folders[folder]


def _table(rows: "Iterable[tuple[str, str, Listed]]") -> pyarrow.Table:
    """A row for each object, whose key was parted after its last slash; without what is hidden."""
    kept = [(folder, name, one) for folder, name, one in rows if not is_left_out(folder, name)]
    columns = [
        pyarrow.array([folder for folder, *_ in kept], pyarrow.string()).dictionary_encode(),
        pyarrow.array([name for _, name, _ in kept], pyarrow.string()),
        pyarrow.array([one.size for *_, one in kept], pyarrow.int64()),
        pyarrow.array([one.version for *_, one in kept], pyarrow.string()),
    ]
    return pyarrow.table(columns, schema=SCHEMA)


def _by_folder(table: pyarrow.Table) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder with the names of the files in it."""
    found: dict[str, list[str]] = {}
    for folder, name in zip(table.column("folder").to_pylist(), table.column("name").to_pylist(), strict=True):
        found.setdefault(folder, []).append(name)
    yield from found.items()
