"""What is below an address: in memory, or in files if it is very much."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import PurePosixPath

from headstart.addresses.address import shown
from headstart.addresses.filesystems import Listed, can_go_on, listed_below
from headstart.data.folder_doubts import NoClassFoldersError
from headstart.data.folders import Layout, layout_of, named_split_folders
from headstart.data.growing_listing import GrowingListing, growing
from headstart.data.listed_candidates import FolderMeaning, ListedCandidates
from headstart.data.listed_tree import ROOT, ListedTree
from headstart.data.long_listing import LongListing
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Sources
from headstart.data.wording import counted
from headstart.errors import HeadstartWarning
from headstart.progress import Progress, silent
from headstart.storage import home, sha256_of_bytes

IN_MEMORY = 200_000  # objects: up to so many are sorted as the files of a disk are
IN_MEMORY_AHEAD = 20_000  # the same where work on the first ones begins while the others are listed
LISTINGS = "listings"  # the folder of home() for more


@contextmanager
def listing_of(address: str, progress: Progress = silent, *, is_ahead: bool = False) -> Iterator[ListedTree | GrowingListing]:
    """All objects below an address; of many a long listing, which is kept if the block fails, and then found again.

    It is complete, but for `is_ahead`: then it may go on while the block works. Raises HeadstartError.
    """
    long = LongListing.open(home() / LISTINGS / sha256_of_bytes(address.encode())[:16], address)
    if long.n_parts and not long.is_complete and not can_go_on(address):
        long.remove()
        long = LongListing(long.place, address)
    pages: Iterator[list[Listed]] = iter(()) if long.is_complete else listed_below(address, long.last)
    if not long.n_parts:
        first: list[Listed] = []
        for page in pages:
            first += page
            progress("listing", len(first), 0)
            if len(first) > (IN_MEMORY_AHEAD if is_ahead else IN_MEMORY):
                break
        else:
            yield ListedTree.of(address, first)
            return
        pages = chain([first], pages)
        del first
    if long.is_complete:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(long.written_at))
        message = f"work goes on with the listing of {shown(address)} of {when}: what has changed there since is not seen"
        warnings.warn(message, HeadstartWarning, stacklevel=2)
    with growing(long, pages, progress) as listing:
        if not is_ahead:
            listing.wait()
        yield listing
        listing.wait()  # it is removed below
    long.remove()


def sources_of_long(name: str, long: LongListing, reading: Reading) -> Sources:
    """The candidates of a data set that is in a long listing, in the order of that. Raises DataError.

    Of what has no label only the number is told, and with `reading.with_unlabelled` it is there too.
    """
    meanings: dict[PurePosixPath, FolderMeaning | None]
    try:
        layout = layout_of(ROOT, long)
        meanings = {PurePosixPath(found.folder): (found.label, found.split) for found in layout.classes}
        meanings |= {PurePosixPath(folder): None for folder, _ in layout.unused}
        meanings.setdefault(ROOT, (None, None) if reading.with_unlabelled else None)
    except NoClassFoldersError:
        if not reading.takes_no_labels:
            raise
        layout, meanings = Layout(), _without_labels(long)

    @cache
    def meaning(folder: PurePosixPath) -> FolderMeaning | None:
        return meanings[folder] if folder in meanings else meaning(folder.parent)

    candidates = ListedCandidates(long, meaning)
    n_left_out = long.n_listed - len(candidates)
    notes = [f"{counted(n_left_out, 'file')} outside the class folders"] if n_left_out else []
    return Sources(name, candidates, notes=(*layout.notes, *notes))


def _without_labels(long: LongListing) -> dict[PurePosixPath, FolderMeaning | None]:
    """What the folders of images that have no labels mean: those called like splits may be splits."""
    splits = named_split_folders(ROOT, long)
    if "train" not in splits.values() and sum(map(long.n_below, splits)) == long.n_listed:
        return {ROOT: (None, None)}  # a folder called test alone is no split
    meanings: dict[PurePosixPath, FolderMeaning | None] = {PurePosixPath(path): (None, split) for path, split in splits.items()}
    return meanings | {ROOT: (None, "train" if splits else None)}


@dataclass(slots=True)
class FilesAhead:
    """The files of a long listing, without labels and in its order, for work on them while it goes on."""

    growing: GrowingListing
    judge: Callable[[], Sources]  # what they mean, when all are listed; raises DataError
    sources: Sources | None = None  # that, when it is known

    def __iter__(self) -> Iterator[Candidate]:
        """The same files in the same order, however far the listing has come. Raises HeadstartError, also of what they mean."""
        for file in self.growing.files():
            if self.growing.is_complete:
                self._know()  # at once: not after hours of work that a wrong folder makes worthless
            yield file
        self._know()

    def may_be_used(self, file: Candidate) -> bool:
        """Whether a file is a candidate, as far as that is known."""
        if self.sources is None:
            return True
        assert isinstance(self.sources.candidates, ListedCandidates)
        return self.sources.candidates.of_file(file) is not None

    def _know(self) -> None:
        if self.sources is None:
            self.sources = self.judge()


Ahead = Callable[[FilesAhead], None]  # work on images for which their labels need not be known
