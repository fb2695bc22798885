"""Decoded pixels for training, kept in memory or, where they are many, in a temporary file."""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from PIL import Image

from headstart.data.dataset import LabelledImage
from headstart.data.images import DecodedImage
from headstart.data.preprocess import Preprocess, resized_size
from headstart.errors import DataError

MEMORY_BYTES = 2 << 30  # pixels beyond this go to a memory-mapped temporary file, which the system may page out
ZEROS_BYTES = 1 << 20
LONGEST_ASPECT = 3.0  # of a panorama only the middle is kept: a 3000 x 40 strip would fill the memory otherwise


class PixelSource(Protocol):
    """Gives training the pixels of image i."""

    def __getitem__(self, i: int) -> np.ndarray:
        """(height, width, n_channels) uint8."""


class CachedPixels:
    """Images kept with their shorter side at `Preprocess.resize_px`, what a training crop is cut from.

    `put` fills it, each image once, with what `shape` makes. Sizes follow from the scan, so one flat array holds all.
    """

    def __init__(self, images: Sequence[LabelledImage], preprocess: Preprocess) -> None:
        self._images, self._shorter_side_px, n = images, preprocess.resize_px, preprocess.n_channels
        self._sizes = [kept_size(image.width, image.height, preprocess.resize_px) for image in images]
        self._offsets = np.concatenate([[0], np.cumsum([width * height * n for width, height in self._sizes])])
        self._n_channels = n
        self._flat = allocate((int(self._offsets[-1]),))

    def shape(self, decoded: DecodedImage) -> np.ndarray:
        """(height, width, n_channels) uint8: the pixels to keep of an image."""
        size = kept_size(decoded.width, decoded.height, self._shorter_side_px)
        return np.asarray(decoded.seen.resize(size, Image.Resampling.BICUBIC, box=_middle(decoded.seen.size)))

    def put(self, i: int, pixels: np.ndarray | None) -> None:
        """Keeps what `shape` made as number `i`. Raises DataError where the image has another size than it was scanned with."""
        if pixels is None or pixels.shape != self[i].shape:
            raise DataError(
                f"{self._images[i].path} has changed its size since it was scanned",
                hint="do not change the images while training runs",
            )
        self[i][...] = pixels

    def __getitem__(self, i: int) -> np.ndarray:
        width, height = self._sizes[i]
        return self._flat[self._offsets[i] : self._offsets[i + 1]].reshape(height, width, self._n_channels)


def allocate(shape: tuple[int, ...]) -> np.ndarray:
    """An array of uint8 in memory, or in an unnamed temporary file where it is larger than MEMORY_BYTES. Raises DataError."""
    size = int(np.prod(shape, dtype=np.int64))
    if size <= MEMORY_BYTES:
        return np.empty(shape, np.uint8)
    folder = Path(tempfile.gettempdir())
    try:
        missing = size - shutil.disk_usage(folder).free
        if missing > 0:  # asked first: trying would leave other programs without room for a moment
            raise OSError(errno.ENOSPC, f"{_gib(missing)} are missing")
        with tempfile.TemporaryFile(prefix="headstart-pixels-", dir=folder) as file:  # the mapping keeps it alive
            _reserve(file, size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise DataError(
            f"{_gib(size)} of pixels do not fit into {folder}: {error.strerror or error}",
            hint="set TMPDIR to a disk with room, or train with a smaller --image-size",
        ) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Gives a new file `size` bytes on the disk: writing to the mapping of one with holes kills the process on a full disk."""
    if hasattr(os, "posix_fallocate"):  # not on Windows and macOS
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            # This file system cannot reserve: write the file.
    zeros = bytes(ZEROS_BYTES)
    for begin in range(0, size, ZEROS_BYTES):
        file.write(zeros[: size - begin])
    file.flush()


def _gib(n_bytes: int) -> str:
    return f"{math.ceil(n_bytes / 2**30 * 10) / 10:,} GiB"  # rounded up, so that as much more is enough


def kept_size(width: int, height: int, shorter_side_px: int) -> tuple[int, int]:
    """Width and height an image is kept at."""
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        longer = int(LONGEST_ASPECT * shorter_side_px)
        return (longer, shorter_side_px) if width > height else (shorter_side_px, longer)
    return resized_size(width, height, shorter_side_px)


def _middle(size: tuple[int, int]) -> tuple[float, float, float, float]:
    longest = LONGEST_ASPECT * min(size)
    width, height = (min(side, longest) for side in size)
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height
