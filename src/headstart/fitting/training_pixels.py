"""The pixels that fine-tuning uses: decoded once and kept, or read again each time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.images import DecodedImage
from headstart.data.pixels import CachedPixels, PixelSource, allocate
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.errors import DataError
from headstart.model.pipeline import Opened, Pipeline
from headstart.progress import Progress


@dataclass(frozen=True, slots=True)
class KeptPixels:
    """Pixels of some images of a data set."""

    source: PixelSource  # numbered like `rows`
    rows: np.ndarray  # (n,) int64, sorted, into Dataset.images

    def only(self, rows: np.ndarray) -> PixelSource:
        """The pixels of a subset of the images, numbered from 0."""
        return _Renumbered(self.source, np.searchsorted(self.rows, rows))


@dataclass(frozen=True, slots=True)
class _Renumbered:
    source: PixelSource
    places: np.ndarray  # (n,) int64

    def __getitem__(self, i: int) -> np.ndarray:
        return self.source[int(self.places[i])]


@dataclass(frozen=True, slots=True)
class _ReadAnew:
    """Reads and decodes an image at full size each time."""

    images: Sequence[LabelledImage]
    pipeline: Pipeline

    def __getitem__(self, i: int) -> np.ndarray:
        opened = read_again(self.pipeline, self.images[i])
        assert opened.pixels is not None  # there is no extractor that would turn them into a vector
        return opened.pixels


def read_anew(images: Sequence[LabelledImage], preprocess: Preprocess, workers: int, progress: Progress) -> PixelSource:
    """Images that are decoded on each access."""
    return _ReadAnew(images, Pipeline(preprocess, shape=_whole))


def keep_pixels(images: Sequence[LabelledImage], preprocess: Preprocess, workers: int, progress: Progress) -> PixelSource:
    """Images decoded once and kept at the size from which training crops are cut. Raises DataError."""
    cached = CachedPixels(images, preprocess)
    pipeline = Pipeline(preprocess, shape=cached.shape)
    for i, opened in enumerate(open_again(pipeline, images, workers, progress, "decoding train")):
        cached.put(i, opened.pixels)
    return cached


def keep_views(images: Sequence[LabelledImage], preprocess: Preprocess, workers: int, progress: Progress) -> np.ndarray:
    """(n, n_views, size, size, n_channels) uint8: the images, preprocessed as for prediction. Raises DataError."""
    views = allocate((len(images), preprocess.n_views, *preprocess.view_shape))
    for i, opened in enumerate(open_again(Pipeline(preprocess), images, workers, progress, "decoding val")):
        views[i] = opened.pixels
    return views


def open_again(
    pipeline: Pipeline, images: Sequence[LabelledImage], workers: int, progress: Progress, stage: str
) -> Iterator[Opened]:
    """The pipeline's output for images that were readable before. Raises DataError if one no longer is."""
    for done, (candidate, opened) in enumerate(pipeline.run(map(_candidate, images), workers), start=1):
        yield _checked(candidate, opened)
        progress(stage, done, len(images))


def read_again(pipeline: Pipeline, image: LabelledImage) -> Opened:
    """The pipeline's output for one image that was readable before. Raises DataError if it no longer is."""
    candidate = _candidate(image)
    return _checked(candidate, pipeline.open(candidate.read))


def _candidate(image: LabelledImage) -> Candidate:
    return Candidate(image.path, image.file)


def _whole(decoded: DecodedImage) -> np.ndarray:
    return np.asarray(decoded.seen)


def _checked(candidate: Candidate, opened: Opened) -> Opened:
    if opened.problem:
        raise DataError(
            f"{candidate.path} could be read before but not now: {opened.problem}",
            hint="do not change the images while training runs",
        )
    return opened
