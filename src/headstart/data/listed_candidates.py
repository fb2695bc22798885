"""The candidates of a long listing: read as they are needed, and as files without labels while it is still listed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import overload

import numpy as np

from headstart.data.long_listing import LongListing
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate, printable

FolderMeaning = tuple[str | None, str | None]  # the label and the split of the files in a folder
Meaning = Callable[[PurePosixPath], FolderMeaning | None]  # None: they are not used


@dataclass(slots=True)
class ListedCandidates(Sequence[Candidate]):
    """The candidates of a complete listing."""

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

    def files(self) -> Iterator[Candidate]:
        """Yields all files of the listing, also those that are not used, without labels."""
        for number in range(self.listing.n_parts):
            yield from files_in(self.listing, number)

    def of_file(self, file: Candidate) -> Candidate | None:
        """A file of the listing as the candidate that it is; None if it is not used."""
        assert isinstance(file.file, RemoteFile)
        meaning = self.meaning(self.listing.folder_of(file.file))
        return None if meaning is None else Candidate(file.path, file.file, *meaning)

    def _count(self, number: int) -> int:
        return sum(n for folder, n in self.listing.n_in_folders(number) if self.meaning(folder) is not None)

    def _candidates(self, number: int) -> list[Candidate]:
        if self._open[0] != number:
            self._open = (number, list(self._read(number)))
        return self._open[1]

    def _read(self, number: int) -> Iterator[Candidate]:
        for folder, file in self.listing.files(number):
            meaning = self.meaning(folder)
            if meaning is not None:
                yield Candidate(printable(str(file)), file, *meaning)


def files_in(listing: LongListing, number: int) -> Iterator[Candidate]:
    """Yields what a file of a listing names, all of it and without labels."""
    for _, file in listing.files(number):
        yield Candidate(printable(str(file)), file)
