"""Pictures of more than three channels, such as those of satellites and microscopes, beside those in RGB."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.channels import COLOURS

Size = tuple[int, int]
Box = tuple[float, float, float, float]


class MultibandImage:
    """A picture of more than three channels of 8 bits, with those of Pillow's methods that pictures are cut and resized by.

    Pillow resizes each channel of an image by itself, so here each is an image: the same channel has the same values in RGB.
    """

    __slots__ = ("_bands",)

    def __init__(self, bands: Sequence[Image.Image]) -> None:
        self._bands = tuple(bands)  # of mode L and one size

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self._bands[0].size

    @property
    def width(self) -> int:
        """In pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.size[1]

    def resize(self, size: Size, resample: int | None = None, box: Box | None = None) -> "MultibandImage":
        """The picture, or the part of it in a box, at another size."""
        return MultibandImage([band.resize(size, resample, box=box) for band in self._bands])

    def crop(self, box: tuple[int, int, int, int]) -> "MultibandImage":
        """The part in a box."""
        return MultibandImage([band.crop(box) for band in self._bands])

    def transpose(self, method: Image.Transpose) -> "MultibandImage":
        """The picture turned or mirrored."""
        return MultibandImage([band.transpose(method) for band in self._bands])

    def first_three(self) -> Image.Image:
        """RGB for people to look at: the first three channels as red, green and blue."""
        return Image.merge("RGB", self._bands[:COLOURS])

    def mean(self) -> Image.Image:
        """The mean of all channels, rounded, as an image of mode L."""
        total = np.zeros(self.size[::-1], np.uint32)
        for band in self._bands:
            total += np.asarray(band)
        n = len(self._bands)
        return Image.fromarray(((total + n // 2) // n).astype(np.uint8))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """(height, width, n) uint8."""
        found = np.stack([np.asarray(band) for band in self._bands], axis=-1)
        return found if dtype is None else found.astype(dtype)


Picture = Image.Image | MultibandImage


def picture_of(pixels: np.ndarray) -> Picture:
    """(height, width) or (height, width, n) uint8 as a picture: grey, RGB, or one of more channels."""
    if pixels.ndim == 3 and pixels.shape[2] > COLOURS:
        return MultibandImage([Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(pixels, -1, 0)])
    return Image.fromarray(pixels)
