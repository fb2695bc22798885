"""The one path from files to pixels and features, shared by scanning, training, prediction and serving."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from headstart.data.dicom import group_of
from headstart.data.facts import ImageFacts, described
from headstart.data.images import MAX_PIXELS, DecodedImage, Fault, UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.model.extractor import Extractor, mean_of_views
from headstart.storage import sha256_of_bytes
from headstart.threads import map_in_threads


class Readable(Protocol):
    """Something that may be an image, not opened yet: a candidate, or an image in memory."""

    @property
    def read(self) -> Callable[[], bytes]:
        """The bytes of an image file. Raises UnreadableImage."""
        ...


T = TypeVar("T")
R = TypeVar("R", bound=Readable)
NO_FACTS = ImageFacts()


@dataclass(frozen=True, slots=True)
class Opened:
    """The result for one file: pixels, a vector if there is a network, or the reason why there is neither."""

    problem: str = ""  # why it cannot be read
    fault: Fault | None = None  # the kind of problem, if any
    sha256: str = ""  # of the file's bytes, if requested and readable
    group: str = ""  # that the file itself names, if requested
    facts: ImageFacts = NO_FACTS  # only the size if no more was requested
    miniature: np.ndarray | None = None  # (ROW_BYTES,) uint8, if it was requested or made
    # (n_views, size, size, n_channels) uint8, or what `Pipeline.shape` makes; None once they are vectors
    pixels: np.ndarray | None = None
    vectors: np.ndarray | None = None  # (n_views, n_features) float32
    decode_seconds: float = 0.0
    network_seconds: float = 0.0

    @property
    def vector(self) -> np.ndarray | None:
        """(n_features,) float32: the image's features, the mean of those of its views."""
        return None if self.vectors is None else mean_of_views(self.vectors)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Reads and decodes files and computes pixels and features. It can be shared by threads."""

    preprocess: Preprocess
    extractor: Extractor | None = None  # None: only pixels are needed
    shape: Callable[[DecodedImage], np.ndarray] | None = None  # makes the pixels; None: the views used for prediction
    identify: bool = False  # whether to compute the digest of each file, and to ask it for its group
    describe: bool = False  # whether to compute all facts of each image, and its miniature

    def run(self, candidates: Iterable[R], workers: int | None = None) -> Generator[tuple[R, Opened], None, None]:
        """Yields the result for each candidate, in order; threads work a bounded distance ahead."""

        def opened(candidate: R) -> tuple[R, Opened]:
            return candidate, self.open(candidate.read)

        waiting: list[tuple[R, Opened]] = []
        for pair in map_in_threads(opened, candidates, workers):
            waiting.append(pair)
            n_pixels = sum(one.pixels is not None for _, one in waiting) if self._collects else 0
            if n_pixels in (0, self.extractor.batch_images if self.extractor else 0):  # 0: no image here waits for the network
                yield from self._computed(waiting)
                waiting = []
        yield from self._computed(waiting)

    def run_here(self, files: Iterable[bytes], max_pixels: int = MAX_PIXELS) -> list[Opened]:
        """The result for each file's bytes, in order, computed in the calling thread. Larger images are not decoded."""
        opened = [(None, self.open(partial(bytes, data), max_pixels)) for data in files]
        return [one for _, one in self._computed(opened)]

    def open(self, read: Callable[[], bytes], max_pixels: int = MAX_PIXELS) -> Opened:
        """The result for one file, including its vector if the network takes images one by one."""
        began, sha256, group = time.perf_counter(), "", ""
        try:
            data = read()
            if self.identify:
                sha256, group = sha256_of_bytes(data), group_of(data)
            decoded = self.preprocess.decode(data, max_pixels)
        except UnreadableImage as unreadable:
            seconds = time.perf_counter() - began
            return Opened(unreadable.reason, unreadable.fault, sha256, group, decode_seconds=seconds)
        facts, miniature = ImageFacts(width=decoded.width, height=decoded.height), None
        if self.describe:
            facts, miniature = described(decoded)
        pixels = self.shape(decoded) if self.shape else self.preprocess.views(decoded.seen)
        ended = time.perf_counter()
        found = Opened(sha256=sha256, group=group, facts=facts, miniature=miniature)
        opened = replace(found, pixels=pixels, decode_seconds=ended - began)
        if self.extractor is None or self.extractor.takes_batches:
            return opened
        vectors = self.extractor.vectors(pixels[None])[0]
        return replace(opened, pixels=None, vectors=vectors, network_seconds=time.perf_counter() - ended)

    @property
    def _collects(self) -> bool:
        return self.extractor is not None and self.extractor.takes_batches

    def _computed(self, waiting: Sequence[tuple[T, Opened]]) -> Iterator[tuple[T, Opened]]:
        """The same results with missing vectors filled in; these are computed together."""
        if not self._collects or self.extractor is None:
            yield from waiting
            return
        began = time.perf_counter()
        views = [one.pixels for _, one in waiting if one.pixels is not None]
        vectors = iter(self.extractor.vectors(np.stack(views)) if views else ())
        seconds = (time.perf_counter() - began) / max(len(views), 1)
        for key, one in waiting:
            if one.pixels is None:
                yield key, one
            else:
                yield key, replace(one, pixels=None, vectors=next(vectors), network_seconds=seconds)


def features_of(extractor: Extractor, views: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the vector of each image's (n_views, size, size, n_channels) uint8 views, in batches of the extractor's size."""
    source = iter(views)
    while batch := list(islice(source, extractor.batch_images)):
        yield from extractor.features(np.stack(batch))
