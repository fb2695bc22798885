"""From a decoded image to the pixels a network sees: one definition for training, prediction and export."""

import json
import math
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field

from headstart.data.images import DECODING, MAX_PIXELS, DecodedImage, decode
from headstart.schema import Schema
from headstart.storage import sha256_of_bytes

Level = Annotated[float, Field(ge=-100, le=100)]  # of channels scaled to 0 .. 1
Deviation = Annotated[float, Field(ge=1e-4, le=100)]

WHOLE_PIXELS = 1 << 24  # an image is resized as a whole up to this many pixels, 50 MB; only strips come out larger
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Preprocess(Schema):
    """How an image becomes network input: shorter side resized to `resize_px`, the central square of `size_px` cut out,
    scaled to 0 .. 1, minus `mean`, divided by `std`. With crop "squash" the whole image is resized to the square instead.
    """

    model_config = ConfigDict(extra="forbid")  # a part that this version does not know would change the pixels

    size_px: Annotated[int, Field(ge=1, le=4096)]
    resize_px: Annotated[int, Field(ge=1, le=8192)]
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[Level, Level, Level]
    std: tuple[Deviation, Deviation, Deviation]
    crop: Literal["center", "squash"] = "center"
    # A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size while its shorter side stays at least this many times
    # `resize_px`; 0: always decoded in full. Twice the target keeps what the resize filter can still see.
    decode_margin: Annotated[float, Field(ge=0, le=100)] = 2.0
    decoding: Annotated[int, Field(ge=1, le=DECODING)] = (
        DECODING  # how files become pixels; a model keeps the way it was made with
    )

    @property
    def decode_px(self) -> int:
        """The shorter side that a JPEG decoded at reduced scale keeps at least; 0: all are decoded in full."""
        return math.ceil(self.resize_px * self.decode_margin)

    def decode(self, data: bytes, max_pixels: int = MAX_PIXELS) -> DecodedImage:
        """The image in a file's bytes, at the scale this preprocessing wants. Raises UnreadableImage."""
        return decode(data, shorter_side_px=self.decode_px, max_pixels=max_pixels, decoding=self.decoding)

    def view(self, image: Image.Image) -> np.ndarray:
        """The pixels the network sees: (size_px, size_px, 3) uint8.

        The whole image is resized and then cut, which gives exactly timm's pixels: if only the cut-out is resized, Pillow may
        take rows and columns in the other order, which changes single pixels of hard contrast by up to 20 levels. Only strips
        such as 100,000 x 10 pixels, which would take gigabytes as a whole, are resized that way.
        """
        size = (self.size_px, self.size_px)
        if self.crop == "squash":
            return np.asarray(image.resize(size, FILTERS[self.interpolation]))
        width, height = resized_size(image.width, image.height, self.resize_px)
        left, top = centre_offset(width, self.size_px), centre_offset(height, self.size_px)
        if width * height <= WHOLE_PIXELS:
            whole = image.resize((width, height), FILTERS[self.interpolation])
            return np.asarray(whole.crop((left, top, left + self.size_px, top + self.size_px)))
        scale_x, scale_y = image.width / width, image.height / height
        box = (left * scale_x, top * scale_y, (left + self.size_px) * scale_x, (top + self.size_px) * scale_y)
        box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))  # rounding must not leave the image
        return np.asarray(image.resize(size, FILTERS[self.interpolation], box=box))

    def view_of_file(self, data: bytes) -> np.ndarray:
        """The same from the bytes of an image file. Raises UnreadableImage."""
        return self.view(self.decode(data).rgb)

    def view_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """The same from (height, width, 3) uint8 pixels of an image that is decoded already."""
        return self.view(Image.fromarray(pixels))

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Two (3,) float32 arrays: network input is `view * scale + shift`, channel by channel."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)

    def at_size(self, size_px: int) -> "Preprocess":
        """The same preprocessing for another input side; the share that is cut off stays."""
        resize_px = math.floor(size_px * self.resize_px / self.size_px)
        return self.model_copy(update={"size_px": size_px, "resize_px": resize_px})

    def newest(self) -> "Preprocess":
        """The same preprocessing for a new model: files are decoded as this version does."""
        return self.model_copy(update={"decoding": DECODING})

    def digest(self) -> str:
        """A name for the way from decoded pixels to a view: 16 hexadecimal digits, different where any part of it differs.

        How files become pixels is not in it, because networks are compiled for views: see `pixels_version`.
        """
        values = {name: value for name, value in self.as_json().items() if name != "decoding"}
        return sha256_of_bytes(json.dumps(values, sort_keys=True).encode())[:16]


def resized_size(width: int, height: int, shorter_side_px: int) -> tuple[int, int]:
    """Width and height after the shorter side was resized to `shorter_side_px`; rounded down, as torchvision does."""
    if width <= height:
        return shorter_side_px, int(shorter_side_px * height / width)
    return int(shorter_side_px * width / height), shorter_side_px


def centre_offset(length: int, window: int) -> int:
    """Where a centred window begins; halves are rounded to even, as torchvision does."""
    return round((length - window) / 2)
