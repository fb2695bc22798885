"""A long listing while a thread of its own lists what is still missing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from headstart.data.listed_candidates import files_in
from headstart.data.long_listing import LongListing
from headstart.data.sources import Candidate
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.addresses.filesystems import Listed

END_SECONDS = 5.0  # that the thread has to end when nobody needs it any more; it ends with the process anyway
LOOK_SECONDS = 1.0  # between two looks, so that Ctrl-C is seen


@dataclass(slots=True)
class GrowingListing:
    """A long listing, its files one after the other as they are there."""

    listing: LongListing
    progress: Progress = silent
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _error: BaseException | None = None
    _is_stopped: bool = False
    is_complete: bool = field(init=False)  # whether everything is listed

    def __post_init__(self) -> None:
        self.is_complete = self.listing.is_complete

    def files(self) -> Iterator[Candidate]:
        """Yields everything that is listed, without labels; waits for what comes. Raises HeadstartError."""
        number = 0
        while self._has(number):
            yield from files_in(self.listing, number)
            number += 1

    def wait(self) -> None:
        """Waits until everything is listed. Raises HeadstartError."""
        while self._has(self.listing.n_parts):
            pass

    def _has(self, number: int) -> bool:
        """Whether there is a file with this number, as soon as that is known. Raises what the thread raised."""
        with self._changed:
            while True:
                self.progress("listing", self.listing.n_listed, 0)
                is_last = self.is_complete  # before it is looked what is there: more may come in between
                if number < self.listing.n_parts:
                    return True
                if self._error is not None:
                    raise self._error
                if is_last:
                    return False
                self._changed.wait(LOOK_SECONDS)

    def _list(self, pages: "Iterator[list[Listed]]") -> None:
        try:
            for _ in self.listing.add(chain.from_iterable(self._while_wanted(pages))):
                self._tell()
            self.listing.end()
            self.is_complete = True
        except BaseException as error:  # raised where the files are wanted
            self._error = error
        self._tell()

    def _while_wanted(self, pages: "Iterator[list[Listed]]") -> "Iterator[list[Listed]]":
        for page in pages:
            if self._is_stopped:
                raise InterruptedError("nobody needs the listing any more")
            yield page

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()


@contextmanager
def growing(listing: LongListing, pages: "Iterator[list[Listed]]", progress: Progress = silent) -> Iterator[GrowingListing]:
    """The listing while a thread adds the pages to it: what is still missing of it; the thread ends with the block."""
    found = GrowingListing(listing, progress)
    if found.is_complete:
        yield found
        return
    thread = threading.Thread(target=found._list, args=(pages,), name="headstart-long-listing", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found._is_stopped = True
        thread.join(END_SECONDS)
