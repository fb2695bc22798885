"""The objects of an S3 in the order of their keys, page by page; of several folders beside each other."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

Page = list[tuple[str, int | None, str]]  # (bucket and key, size, etag) of each object
Ask = Callable[[dict[str, Any]], dict[str, Any]]  # a request of list_objects_v2 and its answer
PAGE = 50_000  # objects that are asked for at once; most stores give 1,000 at most
LISTERS, PAGE_OF_LISTER = 4, 10_000  # folders that are listed beside each other; each keeps two pages in memory at most
MOST_FOLDERS = 1_000  # one page: with more of them, all are listed in one go


def pages_of_s3(ask: Ask, path: str, last: str = "") -> Iterator[Page]:
    """Yields what is below a path, bucket first; only what comes after `last`, if that is given."""
    bucket, _, key = path.partition("/")
    prefix, after = f"{key}/" if key else "", last.removeprefix(f"{bucket}/")
    for objects, folder in _segments(ask, bucket, prefix, after):
        if objects:
            yield objects
        if folder is not None:
            yield from folder


def _segments(ask: Ask, bucket: str, prefix: str, after: str) -> Iterator[tuple[Page, Iterator[Page] | None]]:
    """The objects directly below a prefix and the folders there, in the order of their keys."""
    first = ask({"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": MOST_FOLDERS})
    folders = [one["Prefix"] for one in first.get("CommonPrefixes", [])]
    if first.get("IsTruncated") or len(folders) < 2:
        if folders and not first.get("IsTruncated") and not first.get("Contents"):
            yield from _segments(ask, bucket, folders[0], after)  # a folder with nothing but one in it
        else:
            yield [], _flat(ask, bucket, prefix, after, PAGE)
        return
    objects = _page(bucket, first)
    # A folder comes where its prefix stands among the keys. What is wholly before `after` is done.
    left = [folder for folder in folders if folder > after or after.startswith(folder)]
    with closing(_listed_beside(ask, bucket, left, after)) as listed:
        for folder, pages in listed:
            before = [one for one in objects if one[0] < f"{bucket}/{folder}"]
            objects = objects[len(before) :]
            yield [one for one in before if one[0] > f"{bucket}/{after}"], None
            yield [], pages
    yield [one for one in objects if one[0] > f"{bucket}/{after}"], None


def _flat(ask: Ask, bucket: str, prefix: str, after: str, n: int) -> Iterator[Page]:
    wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": n}
    if after > prefix:
        wanted["StartAfter"] = after
    while True:
        answer = ask(wanted)
        yield _page(bucket, answer)
        if not answer.get("IsTruncated"):
            return
        wanted["ContinuationToken"] = answer["NextContinuationToken"]


def _page(bucket: str, answer: dict[str, Any]) -> Page:
    found = [(f"{bucket}/{one['Key']}", one["Size"], one["ETag"].strip('"')) for one in answer.get("Contents", [])]
    return [one for one in found if not one[0].endswith("/")]  # an empty object that stands for a folder


@dataclass(slots=True)
class _Lister:
    """Lists a folder in a thread of its own."""

    folder: str
    pages: Iterator[Page]
    stop: threading.Event
    _ready: "queue.Queue[Page | BaseException | None]" = field(default_factory=lambda: queue.Queue(1))

    def start(self) -> "_Lister":
        threading.Thread(target=self._list, name="headstart-listing", daemon=True).start()
        return self

    def __iter__(self) -> Iterator[Page]:
        """The pages as they come. Raises what the store raised."""
        while (page := self._ready.get()) is not None:
            if isinstance(page, BaseException):
                raise page
            yield page

    def _list(self) -> None:
        try:
            for page in self.pages:
                if not self._give(page):
                    return
            self._give(None)
        except BaseException as error:  # raised where the pages are wanted
            self._give(error)

    def _give(self, page: "Page | BaseException | None") -> bool:
        """Whether somebody still wants the page."""
        while not self.stop.is_set():
            try:
                self._ready.put(page, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


def _listed_beside(ask: Ask, bucket: str, folders: list[str], after: str) -> Generator[tuple[str, Iterator[Page]], None, None]:
    """Each folder with its pages, in order, while the next ones are listed too."""
    stop, waiting = threading.Event(), deque(folders)
    listers: deque[_Lister] = deque()
    try:
        while waiting or listers:
            while waiting and len(listers) < LISTERS:
                folder = waiting.popleft()
                listers.append(_Lister(folder, _flat(ask, bucket, folder, after, PAGE_OF_LISTER), stop).start())
            first = listers[0]
            yield first.folder, iter(first)
            listers.popleft()
    finally:
        stop.set()
