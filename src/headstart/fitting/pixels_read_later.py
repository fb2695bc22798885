"""The pixels for fine-tuning in the processes of a cluster: each reads what it needs when it needs it, and keeps it.

They travel without their content, so that what is sent to a node is the names of files. In the first epoch a process reads its
share of the images alone.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.image_files import BoxInFile, ImageFile, whole_file
from headstart.data.pixels import CachedPixels, allocate
from headstart.data.preprocess import Preprocess
from headstart.fitting.training_pixels import open_again, read_again
from headstart.model.pipeline import Pipeline
from headstart.progress import silent


class PixelsReadLater:
    """The pixels from which training crops are cut, as `keep_pixels` has them."""

    def __init__(self, images: Sequence[LabelledImage], preprocess: Preprocess, rows: np.ndarray) -> None:
        self._images, self._preprocess = images, preprocess
        self._rows = rows  # (n,) int64, sorted, into Dataset.images
        self._kept: CachedPixels | None = None
        self._is_there = np.zeros(len(images), bool)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (anywhere(self._images), self._preprocess, self._rows)

    def only(self, rows: np.ndarray) -> "PixelsReadLater":
        """The pixels of a subset of the images, numbered from 0."""
        return PixelsReadLater([self._images[i] for i in np.searchsorted(self._rows, rows)], self._preprocess, rows)

    def __getitem__(self, i: int) -> np.ndarray:
        """(height, width, n_channels) uint8. Raises DataError."""
        with self._lock:
            kept = self._kept = self._kept or CachedPixels(self._images, self._preprocess)
        if not self._is_there[i]:
            kept.put(i, read_again(Pipeline(self._preprocess, shape=kept.shape), self._images[i]).pixels)
            self._is_there[i] = True
        return kept[i]


class ViewsReadLater:
    """Images preprocessed as for prediction, as `keep_views` has them."""

    def __init__(self, images: Sequence[LabelledImage], preprocess: Preprocess, workers: int) -> None:
        self._images, self._preprocess, self._workers = images, preprocess, workers
        self._kept: np.ndarray | None = None
        self._is_there = np.zeros(len(images), bool)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (anywhere(self._images), self._preprocess, self._workers)

    def __getitem__(self, part: slice) -> np.ndarray:
        """(n, n_views, size, size, n_channels) uint8. Raises DataError."""
        preprocess = self._preprocess
        if self._kept is None:
            self._kept = allocate((len(self._images), preprocess.n_views, *preprocess.view_shape))
        missing = [i for i in range(len(self._images))[part] if not self._is_there[i]]
        wanted = [self._images[i] for i in missing]
        opened = open_again(Pipeline(preprocess), wanted, self._workers, silent, "")
        for i, one in zip(missing, opened, strict=True):
            self._kept[i] = one.pixels
            self._is_there[i] = True
        return self._kept[part]


def anywhere(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The images, with paths that do not depend on the folder in which a process runs."""
    return [replace(image, file=_anywhere(image.file)) for image in images]


def _anywhere(file: ImageFile) -> ImageFile:
    if isinstance(file, BoxInFile):
        return BoxInFile(whole_file(_anywhere(file.picture)), file.box)
    return Path(os.path.abspath(file)) if isinstance(file, Path) else file  # noqa: PTH100
