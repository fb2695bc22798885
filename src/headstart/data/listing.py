"""What is below an address: in memory, or in files if it is very much."""

import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import PurePosixPath

from headstart.addresses.address import shown
from headstart.addresses.filesystems import Listed, can_go_on, listed_below
from headstart.data.folder_doubts import NoClassFoldersError
from headstart.data.folders import Layout, layout_of
from headstart.data.listed_tree import ROOT, ListedTree
from headstart.data.long_listing import ListedCandidates, LongListing
from headstart.data.reading import Reading
from headstart.data.sources import Sources
from headstart.data.wording import counted
from headstart.errors import HeadstartWarning
from headstart.progress import Progress, silent
from headstart.storage import home, sha256_of_bytes

IN_MEMORY = 200_000  # objects: up to so many are sorted as the files of a disk are
LISTINGS = "listings"  # the folder of home() for more


@contextmanager
def listing_of(address: str, progress: Progress = silent) -> Iterator[ListedTree | LongListing]:
    """All objects below an address; of many a long listing, which is kept if the block fails, and then found again.

    Raises HeadstartError.
    """
    long = LongListing.open(home() / LISTINGS / sha256_of_bytes(address.encode())[:16], address)
    if long.n_parts and not long.is_complete and not can_go_on(address):
        long.remove()
        long = LongListing(long.place, address)
    if not long.n_parts:
        pages = listed_below(address)
        first: list[Listed] = []
        for page in pages:
            first += page
            progress("listing", len(first), 0)
            if len(first) > IN_MEMORY:
                break
        else:
            yield ListedTree.of(address, first)
            return
        _add(long, first, progress)
        first.clear()
        _finish(long, pages, progress)
    elif not long.is_complete:
        _finish(long, listed_below(address, long.last), progress)
    else:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(long.written_at))
        message = f"work goes on with the listing of {shown(address)} of {when}: what has changed there since is not seen"
        warnings.warn(message, HeadstartWarning, stacklevel=2)
    yield long
    long.remove()


def _add(long: LongListing, listed: Iterable[Listed], progress: Progress) -> None:
    for n_listed in long.add(listed):
        progress("listing", n_listed, 0)


def _finish(long: LongListing, pages: Iterator[list[Listed]], progress: Progress) -> None:
    _add(long, chain.from_iterable(pages), progress)
    long.end()


def sources_of_long(name: str, long: LongListing, reading: Reading) -> Sources:
    """The candidates of a data set that is in a long listing, in the order of that. Raises DataError.

    Of what has no label only the number is told, and with `reading.with_unlabelled` it is there too.
    """
    try:
        layout = layout_of(ROOT, long)
    except NoClassFoldersError:
        if not reading.with_unlabelled:
            raise
        layout = Layout()
    labels = {PurePosixPath(found.folder): (found.label, found.split) for found in layout.classes}
    unused = {PurePosixPath(folder) for folder, _ in layout.unused}

    @cache
    def meaning(folder: PurePosixPath) -> tuple[str | None, str | None] | None:
        if folder in labels:
            return labels[folder]
        if folder in unused:
            return None
        if folder != ROOT:
            return meaning(folder.parent)
        return (None, None) if reading.with_unlabelled else None

    candidates = ListedCandidates(long, meaning)
    n_left_out = long.n_listed - len(candidates)
    notes = [f"{counted(n_left_out, 'file')} outside the class folders"] if n_left_out else []
    return Sources(name, candidates, notes=(*layout.notes, *notes))
