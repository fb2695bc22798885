"""The listing of an address with more objects than memory should hold: in Parquet files, in the order of the store.

A listing that was interrupted goes on after its last file where the store can do that. It is removed when what it was made for
is finished; until then, who starts the same again goes on with it.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import overload

import numpy as np
import pyarrow
import pyarrow.parquet

from headstart.addresses.address import joined, shown
from headstart.addresses.filesystems import Listed
from headstart.data.listed_tree import ROOT, is_left_out, path_of
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate, in_natural_order, printable
from headstart.data.trees import Below
from headstart.data.walking import may_be_image
from headstart.storage import atomic_write

ROWS = 50_000  # of a file
END = "complete"  # a file whose presence says so
SCHEMA = pyarrow.schema(
    [
        ("folder", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),  # what is between the address and the name
        ("name", pyarrow.string()),
        ("size", pyarrow.int64()),
        ("version", pyarrow.string()),
    ]
)
Meaning = Callable[[PurePosixPath], tuple[str | None, str | None] | None]  # of a folder: label, split; None: not used


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
    def n_listed(self) -> int:
        """How many objects are listed."""
        return sum(counts.files for counts in self.folders.values())

    @property
    def written_at(self) -> float:
        """When everything was listed, in seconds since 1970."""
        return (self.place / END).stat().st_mtime

    def add(self, listed: Iterable[Listed]) -> Iterator[int]:
        """Writes what comes next in the listing; yields the number of objects after each file."""
        source = iter(listed)
        while rows := list(islice(source, ROWS)):
            self.last = rows[-1].address
            keys = [one.address.removeprefix(self._start).rpartition("/") for one in rows]
            table = _table([(folder + slash, name, one) for (folder, slash, name), one in zip(keys, rows, strict=True)])
            with atomic_write(self._part(self.n_parts)) as aside:
                pyarrow.parquet.write_table(table, aside)
            self.n_parts += 1
            self._count(table)
            yield self.n_listed

    def end(self) -> None:
        """Notes that everything is listed."""
        with atomic_write(self.place / END) as aside:
            aside.touch()

    def remove(self) -> None:
        """Removes the files."""
        shutil.rmtree(self.place, ignore_errors=True)

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


@dataclass(slots=True)
class ListedCandidates(Sequence[Candidate]):
    """The candidates of a listing, read as they are needed."""

    listing: LongListing
    meaning: Meaning
    _ends: np.ndarray = field(init=False)  # (n_parts,) int64: candidates up to the end of each file
    _open: tuple[int, list[Candidate]] = (-1, [])  # the file that was read last

    def __post_init__(self) -> None:
        counts = [self._count(number) for number in range(self.listing.n_parts)]
        self._ends = np.cumsum(counts, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, wanted: int) -> Candidate: ...
    @overload
    def __getitem__(self, wanted: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, wanted: int | slice) -> Candidate | Sequence[Candidate]:
        if isinstance(wanted, slice):
            return [self[row] for row in range(*wanted.indices(len(self)))]
        row = wanted + len(self) if wanted < 0 else wanted
        if not 0 <= row < len(self):
            raise IndexError(wanted)
        part = int(np.searchsorted(self._ends, row, side="right"))
        return self._candidates(part)[row - (int(self._ends[part - 1]) if part else 0)]

    def __iter__(self) -> Iterator[Candidate]:
        for part in range(len(self._ends)):
            yield from self._candidates(part)

    def _count(self, number: int) -> int:
        by_folder = _by_folder(self.listing._read(number))
        return sum(len(names) for folder, names in by_folder if self.meaning(path_of(folder)) is not None)

    def _candidates(self, number: int) -> list[Candidate]:
        if self._open[0] != number:
            self._open = (number, list(self._read(number)))
        return self._open[1]

    def _read(self, number: int) -> Iterator[Candidate]:
        table = self.listing._read(number)
        columns = (table.column(name).to_pylist() for name in SCHEMA.names)
        for folder, name, size, version in zip(*columns, strict=True):
            meaning = self.meaning(path_of(folder))
            if meaning is not None:
                file = RemoteFile(self.listing._start + folder + name, size, version)
                yield Candidate(printable(str(file)), file, *meaning)


def _table(rows: Iterable[tuple[str, str, Listed]]) -> pyarrow.Table:
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
