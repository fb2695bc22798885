"""What is known of an image without knowing what it shows: format, size, brightness, sharpness, a hash that finds copies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from headstart.data.images import DecodedImage
from headstart.data.miniatures import miniature_of

FACTS_VERSION = 3  # raised with every change here that changes a fact
MEASURED_PX = 256  # longer side up to which pixels are measured as they are; larger images are reduced below it
MEAN_CELL_PX = 8  # colours are averaged over cells of this side first, which is fast


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The facts of one image file, or the reason why it cannot be read."""

    problem: str = ""  # why it cannot be read; all else is empty then
    format: str = ""  # by content: "JPEG", "PNG" ...
    mode: str = ""  # the file's own pixel mode
    width: int = 0  # upright, pixels
    height: int = 0
    dhash: int = 0  # 64 bits: brighter or darker than the neighbour to the right, 8 rows of 8 (Krawetz 2013)
    red: float = 0.0  # mean of each channel, 0 .. 255
    green: float = 0.0
    blue: float = 0.0
    brightness: float = 0.0  # mean luma, 0 .. 255
    contrast: float = 0.0  # standard deviation of luma
    sharpness: float = 0.0  # variance of the Laplacian of luma at 128 to 256 px: low where blurred (Pech-Pacheco et al. 2000)
    pages: int = 1  # of the file; only the first is looked at


def facts_of(decoded: DecodedImage) -> ImageFacts:
    """The facts of a decoded image. Hash and statistics are of the pixels as decoded, which may be at a reduced scale.

    Those of more than three channels are of their mean, as grey.
    """
    return _facts_of(decoded, _reduced(decoded.compared))


def described(decoded: DecodedImage) -> tuple[ImageFacts, np.ndarray]:
    """The facts of a decoded image, and its miniature."""
    small = _reduced(decoded.compared)
    return _facts_of(decoded, small), miniature_of(small)


def miniature_in(decoded: DecodedImage) -> np.ndarray:
    """The miniature of a decoded image, without its facts."""
    return miniature_of(_reduced(decoded.compared))


def _reduced(rgb: Image.Image) -> Image.Image:
    """At most MEASURED_PX wide and high.

    Averages of whole squares of pixels are many times faster than any resizing, and all that statistics and miniatures need.
    """
    factor = math.ceil(max(rgb.size) / MEASURED_PX)
    return rgb.reduce(factor) if factor > 1 else rgb


def _facts_of(decoded: DecodedImage, small: Image.Image) -> ImageFacts:
    colours = np.asarray(small.reduce(MEAN_CELL_PX), dtype=np.float32).mean(axis=(0, 1))
    luma = small.convert("L")
    levels = np.asarray(luma, dtype=np.float32)
    red, green, blue = (float(value) for value in colours)
    return ImageFacts(
        format=decoded.format,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        dhash=difference_hash(luma),
        red=red,
        green=green,
        blue=blue,
        brightness=float(levels.mean()),
        contrast=float(levels.std()),
        sharpness=_sharpness(levels),
        pages=decoded.pages,
    )


def notes_on(facts: Sequence[ImageFacts]) -> tuple[str, ...]:
    """What the owner of the images should know of their files."""
    n = sum(fact.pages > 1 for fact in facts)
    if not n:
        return ()
    return (
        ("1 file holds several pages; its first is used",) if n == 1 else (f"{n} files hold several pages; the first is used",)
    )


def difference_hash(luma: Image.Image) -> int:
    """64 bits of an image of mode L: whether each of 8 x 8 cells is darker than the one to its right."""
    cells = np.asarray(luma.resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def _sharpness(luma: np.ndarray) -> float:
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var())
