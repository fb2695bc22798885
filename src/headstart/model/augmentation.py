"""Random views of training images: resized, sometimes mirrored crops that depend only on seed, epoch and image."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from headstart.settings import Augment

ASPECTS = (3 / 4, 4 / 3)  # of crops, as in Szegedy et al. 2015 and torchvision's RandomResizedCrop
TRIES = 10


@dataclass(frozen=True, slots=True)
class RandomView:
    """A crop in pixels of one image, and whether it is mirrored."""

    left: int
    top: int
    width: int
    height: int
    mirrored: bool


def draw_view(
    width: int,
    height: int,
    augment: Augment,
    crop_scale: tuple[float, float],
    rng: np.random.Generator,
) -> RandomView:
    """A random crop of `crop_scale` of the area, as in torchvision's RandomResizedCrop, mirrored with probability 0.5."""
    mirrored = bool(rng.random() < 0.5) and augment == "standard"
    for _ in range(TRIES):
        area = width * height * rng.uniform(*crop_scale)
        aspect = math.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return RandomView(left, top, w, h, mirrored)
    # The image is more elongated than any allowed crop: take the centre, as long as the aspect ratios allow.
    w, h = min(width, round(height * ASPECTS[1])), min(height, round(width / ASPECTS[0]))
    return RandomView((width - w) // 2, (height - h) // 2, w, h, mirrored)


def apply_view(pixels: np.ndarray, view: RandomView, size_px: int, interpolation: str) -> np.ndarray:
    """(height, width, n_channels) uint8 pixels -> the view as (size_px, size_px, n_channels) uint8."""
    rows, columns = slice(view.top, view.top + view.height), slice(view.left, view.left + view.width)
    cut = resize(
        torch.from_numpy(pixels[rows, columns].copy()).permute(2, 0, 1),
        [size_px, size_px],
        interpolation=InterpolationMode(interpolation),
        antialias=True,
    )
    return (cut.flip(-1) if view.mirrored else cut).permute(1, 2, 0).numpy()


def rng_for(seed: int, epoch: int, image: int) -> np.random.Generator:
    """The random generator of one image in one epoch: the same in every thread and after a resume."""
    return np.random.default_rng([seed, epoch, image])
