"""From a decoded image to the pixels a network sees: one definition for training, prediction and export."""

import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field, field_validator, model_validator

from headstart.channels import COLOURS, MOST_CHANNELS, channels_of
from headstart.data.images import DECODING, MAX_PIXELS, DecodedImage, decode, pixels_version
from headstart.data.multiband import Picture, picture_of
from headstart.schema import Schema
from headstart.settings import Cut
from headstart.storage import sha256_of_bytes

Level = Annotated[float, Field(ge=-100, le=100)]  # of channels scaled to 0 .. 1
Deviation = Annotated[float, Field(ge=1e-4, le=100)]

WHOLE_PIXELS = 1 << 24  # an image is resized as a whole up to this many pixels, 50 MB; only strips come out larger
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

EARLIER_NAMES: dict[Cut, str] = {"crop": "center", "whole": "squash", "pad": "pad"}  # of the first two in files and digests


class Preprocess(Schema):
    """How an image becomes network input: one or more square views of `size_px`, scaled to 0 .. 1, minus `mean`, divided by
    `std`. The image's features are the mean of those of its views. More than three channels have the mean and std of red,
    green and blue in turn, as the kernels of the network's first layer are (`wide_input.py`).

    `crop` is the central square after the shorter side was resized to `resize_px`; `whole` is the whole image, squeezed to the
    square; `pad` is the whole image at its own proportions, with the mean colour around it. If `mirrored`, each view is
    followed by its mirror image.
    """

    model_config = ConfigDict(extra="forbid")  # a part that this version does not know would change the pixels

    size_px: Annotated[int, Field(ge=1, le=4096)]
    resize_px: Annotated[int, Field(ge=1, le=8192)]
    interpolation: Literal["bilinear", "bicubic"]
    mean: Annotated[tuple[Level, ...], Field(min_length=COLOURS, max_length=MOST_CHANNELS)]
    std: Annotated[tuple[Deviation, ...], Field(min_length=COLOURS, max_length=MOST_CHANNELS)]
    cuts: Annotated[tuple[Cut, ...], Field(min_length=1, max_length=len(EARLIER_NAMES))] = ("crop",)
    mirrored: bool = False
    # A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size while its shorter side stays at least this many times
    # `resize_px`; 0: always decoded in full. Twice the target keeps what the resize filter can still see.
    decode_margin: Annotated[float, Field(ge=0, le=100)] = 2.0
    decoding: Annotated[int, Field(ge=1, le=DECODING)] = (
        DECODING  # how files become pixels; a model keeps the way it was made with
    )
    channels: str = ""  # what is chosen of stacks, as --channels takes it, with levels in place of a window; "": nothing

    @field_validator("cuts")
    @classmethod
    def _distinct(cls, cuts: tuple[Cut, ...]) -> tuple[Cut, ...]:
        if len(set(cuts)) < len(cuts):
            raise ValueError("a view is named twice")
        return cuts

    @field_validator("channels")
    @classmethod
    def _found(cls, channels: str) -> str:
        if channels_of(channels).window:
            raise ValueError("a window has to be found before it is used")
        return channels

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        if len(self.std) != self.n_channels or (self.channels and channels_of(self.channels).n_channels != self.n_channels):
            raise ValueError("mean and std do not have one number for each channel")
        return self

    @property
    def n_channels(self) -> int:
        """How many channels a view has: three, or as many as are listed of a stack."""
        return len(self.mean)

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """The shape of one view: (size_px, size_px, n_channels)."""
        return self.size_px, self.size_px, self.n_channels

    @property
    def n_views(self) -> int:
        """How many views of each image the network sees."""
        return len(self.cuts) * (2 if self.mirrored else 1)

    @property
    def decode_px(self) -> int:
        """The shorter side that a JPEG decoded at reduced scale keeps at least; 0: all are decoded in full."""
        return math.ceil(self.resize_px * self.decode_margin)

    def decode(self, data: bytes, max_pixels: int = MAX_PIXELS) -> DecodedImage:
        """The image in a file's bytes, at the scale this preprocessing wants. Raises UnreadableImage."""
        return decode(
            data, shorter_side_px=self.decode_px, max_pixels=max_pixels, decoding=self.decoding, channels=self.channels
        )

    def views(self, image: Picture) -> np.ndarray:
        """The pixels the network sees: (n_views, size_px, size_px, n_channels) uint8."""
        plain = [CUTTERS[cut](self, image) for cut in self.cuts]
        return np.stack([view for one in plain for view in ((one, one[:, ::-1]) if self.mirrored else (one,))])

    def view(self, image: Picture) -> np.ndarray:
        """The first of the views: (size_px, size_px, n) uint8, with the n channels of the image."""
        return CUTTERS[self.cuts[0]](self, image)

    def views_of_file(self, data: bytes) -> np.ndarray:
        """The views of an image in the bytes of a file. Raises UnreadableImage."""
        return self.views(self.decode(data).seen)

    def views_of_photograph(self, data: bytes) -> np.ndarray:
        """The views of a file of which nothing is chosen, for trials; where there are more channels, its colours come in turn.

        Raises UnreadableImage.
        """
        return self.choosing("").views_of_file(data)[..., np.arange(self.n_channels) % COLOURS]

    def views_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """The views of (height, width, n_channels) uint8 pixels of an image that is decoded already."""
        return self.views(picture_of(pixels))

    def view_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """The first of these views."""
        return self.view(picture_of(pixels))

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Two (n_channels,) float32 arrays: network input is `view * scale + shift`, channel by channel."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)

    def at_size(self, size_px: int) -> "Preprocess":
        """The same preprocessing for another input side; the share that is cut off stays."""
        resize_px = math.floor(size_px * self.resize_px / self.size_px)
        return self.model_copy(update={"size_px": size_px, "resize_px": resize_px})

    @property
    def view_name(self) -> str:
        """The views in words, as `seen_as` takes them."""
        return "+".join((*self.cuts, "mirrored") if self.mirrored else self.cuts)

    def seen_as(self, view: str) -> "Preprocess":
        """The same preprocessing for other views, given as in `crop+whole+mirrored`."""
        parts = view.split("+")
        return self.model_validate(
            dict(self) | {"cuts": tuple(part for part in parts if part != "mirrored"), "mirrored": "mirrored" in parts}
        )

    def choosing(self, channels: str) -> "Preprocess":
        """The same preprocessing of what is chosen of stacks."""
        n_channels = channels_of(channels).n_channels
        return self.model_validate(dict(self) | {"channels": channels} | self._repeated(n_channels))

    def with_channels(self, n_channels: int) -> "Preprocess":
        """The same preprocessing of images of this many channels: what red, green and blue have comes in turn."""
        return self.model_copy(update=self._repeated(n_channels))

    def _repeated(self, n_channels: int) -> dict[str, tuple[float, ...]]:
        in_turn = [i % COLOURS for i in range(n_channels)]
        return {"mean": tuple(self.mean[i] for i in in_turn), "std": tuple(self.std[i] for i in in_turn)}

    @property
    def pixels_version(self) -> str:
        """A name for all that turns a file's bytes into the pixels that views are cut from."""
        return pixels_version(self.decoding, self.channels)

    def newest(self) -> "Preprocess":
        """The same preprocessing for a new model: files are decoded as this version does."""
        return self.model_copy(update={"decoding": DECODING})

    def one_by_one(self) -> tuple["Preprocess", ...]:
        """The preprocessing of each view alone, in the order of `views`."""
        both = (False, True) if self.mirrored else (False,)
        return tuple(self.model_copy(update={"cuts": (cut,), "mirrored": flip}) for cut in self.cuts for flip in both)

    def fits_network_of(self, other: "Preprocess") -> bool:
        """Whether a network that was compiled for the views of `other` takes these too."""
        return (self.size_px, self.mean, self.std) == (other.size_px, other.mean, other.std)

    def digest(self) -> str:
        """A name for the way from decoded pixels to the views: 16 hexadecimal digits, different where any part of it differs.

        How files become pixels is not in it, because networks are compiled for views: see `pixels_version`. The name of a
        single view is that of earlier versions, whose stored features are used.
        """
        values = {name: value for name, value in self.as_json().items() if name not in ("decoding", "channels")}
        if self.n_views == 1:
            del values["mirrored"]
            values["crop"] = EARLIER_NAMES[values.pop("cuts")[0]]
        return sha256_of_bytes(json.dumps(values, sort_keys=True).encode())[:16]


def upgraded_preprocess(values: Any) -> Any:
    """The JSON values of a Preprocess; earlier versions had a single view, which they called `crop`."""
    if not isinstance(values, dict) or "crop" not in values or "cuts" in values:
        return values
    names = {earlier: name for name, earlier in EARLIER_NAMES.items()}
    rest, crop = {name: value for name, value in values.items() if name != "crop"}, values["crop"]
    return rest | {"cuts": [names.get(crop, crop) if isinstance(crop, str) else crop]}


def _central_crop(preprocess: Preprocess, image: Picture) -> np.ndarray:
    """The central square.

    The whole image is resized and then cut, which gives exactly timm's pixels: if only the cut-out is resized, Pillow may take
    rows and columns in the other order, which changes single pixels of hard contrast by up to 20 levels. Only strips such as
    100,000 x 10 pixels, which would take gigabytes as a whole, are resized that way.
    """
    side, interpolation = preprocess.size_px, FILTERS[preprocess.interpolation]
    width, height = resized_size(image.width, image.height, preprocess.resize_px)
    left, top = centre_offset(width, side), centre_offset(height, side)
    if width * height <= WHOLE_PIXELS:
        whole = image.resize((width, height), interpolation)
        return np.asarray(whole.crop((left, top, left + side, top + side)))
    scale_x, scale_y = image.width / width, image.height / height
    box = (left * scale_x, top * scale_y, (left + side) * scale_x, (top + side) * scale_y)
    box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))  # rounding must not leave the image
    return np.asarray(image.resize((side, side), interpolation, box=box))


def _squeezed(preprocess: Preprocess, image: Picture) -> np.ndarray:
    return np.asarray(image.resize((preprocess.size_px,) * 2, FILTERS[preprocess.interpolation]))


def _padded(preprocess: Preprocess, image: Picture) -> np.ndarray:
    side = preprocess.size_px
    scale = side / max(image.size)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    inside = np.asarray(image.resize((width, height), FILTERS[preprocess.interpolation]))
    left, top = (side - width) // 2, (side - height) // 2
    square = np.empty((side, side, inside.shape[2]), np.uint8)
    square[:] = [round(255 * level) for level in preprocess.mean[: inside.shape[2]]]
    square[top : top + height, left : left + width] = inside
    return square


CUTTERS: dict[Cut, Callable[[Preprocess, Picture], np.ndarray]] = {
    "crop": _central_crop,
    "whole": _squeezed,
    "pad": _padded,
}


def resized_size(width: int, height: int, shorter_side_px: int) -> tuple[int, int]:
    """Width and height after the shorter side was resized to `shorter_side_px`; rounded down, as torchvision does."""
    if width <= height:
        return shorter_side_px, int(shorter_side_px * height / width)
    return int(shorter_side_px * width / height), shorter_side_px


def rows_may_be_first() -> bool:
    """Whether Pillow resizes rows before columns where that is faster, as from version 13 on; rounding makes it visible."""
    picture = Image.fromarray((np.indices((12, 4)).sum(axis=0) % 3 * 100).astype(np.uint8))
    by_rows = picture.resize((4, 5), Image.Resampling.BICUBIC).resize((5, 5), Image.Resampling.BICUBIC)
    return picture.resize((5, 5), Image.Resampling.BICUBIC).tobytes() == by_rows.tobytes()


def centre_offset(length: int, window: int) -> int:
    """Where a centred window begins; halves are rounded to even, as torchvision does."""
    return round((length - window) / 2)
