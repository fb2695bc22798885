"""One pass over the files: each is read, decoded and, where a network is given, turned into its feature vector."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.images import UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped
from headstart.progress import Progress, silent
from headstart.storage import sha256_of_bytes

BATCH_IMAGES = 16  # of 8, 16 and 32 the fastest on two cores; larger ones leave the cache
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass of decoding found."""

    images: tuple[LabelledImage, ...]  # the readable ones, in the order of the candidates
    skipped: tuple[Skipped, ...]
    vectors: np.ndarray  # (n_images, n_features) float32; n_features is 0 where nothing was computed


def scan(
    candidates: Sequence[Candidate],
    preprocess: Preprocess,
    compute: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = "computing features",
) -> Scan:
    """Opens every candidate once. Unreadable ones are listed with their reasons; nothing else is lost.

    `compute` turns (n, size, size, 3) uint8 views into (n, n_features) float32 vectors: a network's `features` or `logits`.
    Decoding runs in threads beside the network; memory holds a few batches of pixels and all vectors.
    """

    def open_one(candidate: Candidate) -> tuple[LabelledImage, np.ndarray] | Skipped:
        try:
            data = candidate.read()
            decoded = preprocess.decode(data)
        except UnreadableImage as unreadable:
            return Skipped(candidate.path, unreadable.reason)
        view = preprocess.view(decoded.rgb) if compute else np.empty(0, np.uint8)
        image = LabelledImage(
            path=candidate.path,
            file=candidate.file,
            label=candidate.label or "",
            split=candidate.split,
            group=candidate.group,
            sha256=sha256_of_bytes(data),
            width=decoded.width,
            height=decoded.height,
        )
        return image, view

    images: list[LabelledImage] = []
    skipped: list[Skipped] = []
    vectors: list[np.ndarray] = []
    views: list[np.ndarray] = []

    def flush() -> None:
        if compute and views:
            vectors.append(compute(np.stack(views)))
        views.clear()

    for done, opened in enumerate(map_in_threads(open_one, candidates, workers), start=1):
        if isinstance(opened, Skipped):
            skipped.append(opened)
        else:
            images.append(opened[0])
            views.append(opened[1])
            if len(views) == BATCH_IMAGES:
                flush()
        progress(stage, done, len(candidates))
    flush()
    stacked = np.concatenate(vectors) if vectors else np.empty((len(images), 0), np.float32)
    return Scan(tuple(images), tuple(skipped), stacked)


def map_in_threads(function: Callable[[T], U], items: Iterable[T], workers: int | None = None) -> Iterator[U]:
    """The results of `function` in the order of `items`, computed in threads a bounded distance ahead."""
    n_threads = workers or min(16, os.cpu_count() or 1)
    waiting: deque[Future[U]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(n_threads, thread_name_prefix="headstart-decode") as pool:
        try:
            for item in islice(source, 4 * n_threads):
                waiting.append(pool.submit(function, item))
            while waiting:
                result = waiting.popleft().result()
                for item in islice(source, 1):
                    waiting.append(pool.submit(function, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()
