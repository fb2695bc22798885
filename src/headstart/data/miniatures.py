"""Miniatures: what is kept of a picture to tell later whether it is a frame of the same scene as another.

A row of ROW_BYTES bytes is the luma of 64 x 64 pixels, and the sums of red, green and blue over 8 x 8 cells of them, as 16-bit
little-endian numbers.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

MINIATURES_VERSION = 1  # raised with every change here that changes a row
LIKENESS_VERSION = 1  # raised with every change of how two are compared (audit/registration.py) that changes what is found
SIDE = 64  # pixels
CELLS = 8  # a side of the layout: which colour is where
LUMA_BYTES = SIDE * SIDE
ROW_BYTES = LUMA_BYTES + 2 * 3 * CELLS * CELLS
CELL_PX = SIDE // CELLS
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
DARKEST = 8.0  # mean luma below which a picture's colours are mostly noise


@dataclass(frozen=True, slots=True)
class MiniatureSpace:
    """Everything that changes the miniature of an image, besides the image."""

    miniatures_version: int
    decode_px: int  # minimum shorter side of a JPEG decoded at reduced size
    pixels_version: str


@dataclass(frozen=True, slots=True)
class LikenessSpace:
    """Everything that changes how alike two images are, besides the images."""

    likeness_version: int
    miniatures_version: int
    decode_px: int
    pixels_version: str


def miniature_of(rgb: Image.Image) -> np.ndarray:
    """(ROW_BYTES,) uint8: the whole picture as means of areas, without its aspect ratio."""
    picture = np.asarray(rgb.resize((SIDE, SIDE), Image.Resampling.BOX))
    luma = (picture.astype(np.float32) @ LUMA).round().astype(np.uint8)
    sums = picture.reshape(CELLS, CELL_PX, CELLS, CELL_PX, 3).sum(axis=(1, 3), dtype="<u2")
    return np.concatenate([luma.ravel(), sums.ravel().view(np.uint8)])


def lumas(rows: np.ndarray) -> np.ndarray:
    """(n, SIDE, SIDE) uint8 from (n, ROW_BYTES) rows."""
    return rows[:, :LUMA_BYTES].reshape(-1, SIDE, SIDE)


def layouts(rows: np.ndarray) -> np.ndarray:
    """(n, CELLS * CELLS * 3) float32: the mean colours of cells, as shares of the picture's luma, from (n, ROW_BYTES) rows."""
    sums = np.ascontiguousarray(rows[:, LUMA_BYTES:]).view("<u2").reshape(-1, CELLS * CELLS, 3)
    cells = sums.astype(np.float32) / CELL_PX**2
    mean = np.maximum((cells @ LUMA).mean(axis=1), DARKEST)
    return (cells / mean[:, None, None]).reshape(-1, 3 * CELLS * CELLS)


def packed(rows: np.ndarray) -> np.ndarray:
    """(n, ROW_BYTES) uint8: rows with what each luma is beyond those of its neighbours, which compresses better.

    The prediction is left + above - above left, modulo 256: of photographs that leaves 2 to 3 kB of 4 after zstd, as does PNG.
    """
    found = rows.copy()
    pixels = found[:, :LUMA_BYTES].reshape(-1, SIDE, SIDE)  # a view: what is written there is in `found`
    pixels[:, :, 1:] -= pixels[:, :, :-1].copy()
    pixels[:, 1:] -= pixels[:, :-1].copy()
    return found


def unpacked(rows: np.ndarray) -> np.ndarray:
    """The rows that `packed` was given."""
    found = rows.copy()
    pixels = found[:, :LUMA_BYTES].reshape(-1, SIDE, SIDE)
    np.cumsum(pixels, axis=1, dtype=np.uint8, out=pixels)
    np.cumsum(pixels, axis=2, dtype=np.uint8, out=pixels)
    return found
