"""Miniatures: 64 x 64 lumas and the colours of 8 x 8 cells."""

import numpy as np
import pytest
from PIL import Image

from headstart.data.miniatures import CELLS, DARKEST, ROW_BYTES, SIDE, layouts, lumas, miniature_of, packed, unpacked


def picture(seed: int, size: tuple[int, int] = (100, 80), brightest: int = 256) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, brightest, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(100, 80), (64, 64), (30, 500), (1, 1)])
def test_a_miniature_is_the_whole_picture(size: tuple[int, int]) -> None:
    """Lumas are those of the picture as means of areas; a cell's colour is the mean of its pixels, relative to all luma."""
    image = picture(0, size)
    rows = miniature_of(image)[None]
    assert rows.shape == (1, ROW_BYTES) and rows.dtype == np.uint8
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    luma = small @ [0.299, 0.587, 0.114]
    assert np.abs(lumas(rows)[0] - luma).max() <= 0.501
    step = SIDE // CELLS
    for at in ((0, 0), (3, 5), (7, 7)):
        cell = small[at[0] * step : (at[0] + 1) * step, at[1] * step : (at[1] + 1) * step].mean(axis=(0, 1))
        wanted = cell / max(luma.mean(), DARKEST)
        assert layouts(rows).reshape(CELLS, CELLS, 3)[at] == pytest.approx(wanted, rel=1e-5)


def test_a_black_picture_has_a_layout() -> None:
    """Nothing is divided by zero."""
    rows = miniature_of(Image.new("RGB", (50, 50)))[None]
    assert not layouts(rows).any() and not lumas(rows).any()
    assert layouts(rows[:0]).shape == (0, 3 * CELLS * CELLS)


def test_packing_loses_nothing() -> None:
    """Any bytes come out as they were, and what is packed is left alone; photographs become small differences."""
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.integers(256, size=(5, ROW_BYTES)).astype(np.uint8), miniature_of(picture(2))[None]])
    before = rows.copy()
    stored = packed(rows)
    assert np.array_equal(rows, before)
    assert np.array_equal(unpacked(stored), rows)
    steps = stored[-1, : SIDE * SIDE].view(np.int8)
    assert np.median(np.abs(steps)) < 4
    assert packed(rows[:0]).shape == (0, ROW_BYTES)
