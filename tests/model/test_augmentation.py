"""Random views of training images: reproducible, inside the picture, drawn as torchvision draws them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop

from headstart.model.augmentation import ASPECTS, RandomView, apply_view, draw_view, rng_for

FULL = (0.08, 1.0)


def draw_many(n: int, width: int, height: int, scale: tuple[float, float] = FULL) -> list[RandomView]:
    return [draw_view(width, height, "standard", scale, rng_for(0, 1, i)) for i in range(n)]


def test_seed_epoch_and_image_decide() -> None:
    """A view is the same for the same seed, epoch and image, and another when one of them changes."""

    def view(seed: int, epoch: int, image: int) -> RandomView:
        return draw_view(640, 480, "standard", FULL, rng_for(seed, epoch, image))

    assert view(3, 2, 1) == view(3, 2, 1)
    assert len({view(3, 2, 1), view(4, 2, 1), view(3, 3, 1), view(3, 2, 2), view(1, 2, 3)}) == 5


def test_no_flip_never_mirrors() -> None:
    """no-flip cuts the very crops that standard cuts and mirrors none; standard mirrors half of them."""
    standard = draw_many(2000, 300, 200)
    plain = [draw_view(300, 200, "no-flip", FULL, rng_for(0, 1, i)) for i in range(2000)]
    assert not any(view.mirrored for view in plain)
    assert [(v.left, v.top, v.width, v.height) for v in plain] == [(v.left, v.top, v.width, v.height) for v in standard]
    assert 0.46 < np.mean([view.mirrored for view in standard]) < 0.54


@settings(max_examples=300)
@given(
    width=st.one_of(st.integers(1, 40), st.integers(1, 20_000)),
    height=st.one_of(st.integers(1, 40), st.integers(1, 20_000)),
    low=st.floats(0.01, 1.0),
    seed=st.integers(0, 1000),
)
def test_crops_stay_inside(width: int, height: int, low: float, seed: int) -> None:
    """Of any picture, a pixel or a strip, the crop has at least a pixel and never leaves the picture."""
    view = draw_view(width, height, "standard", (low, 1.0), rng_for(seed, 0, 0))
    assert view.width >= 1
    assert view.height >= 1
    assert 0 <= view.left <= view.left + view.width <= width
    assert 0 <= view.top <= view.top + view.height <= height


@pytest.mark.parametrize(("width", "height"), [(3000, 40), (40, 3000), (1000, 10)])
def test_panoramas_give_their_middle(width: int, height: int) -> None:
    """A strip in which no allowed crop finds room gives its middle, not squeezed beyond the allowed aspects."""
    view = draw_view(width, height, "standard", (0.9, 1.0), rng_for(0, 0, 0))
    assert ASPECTS[0] * 0.9 <= view.width / view.height <= ASPECTS[1] * 1.1
    assert view.left == (width - view.width) // 2
    assert view.top == (height - view.height) // 2


@pytest.mark.parametrize(("width", "height"), [(500, 375), (256, 256), (200, 600)])
@pytest.mark.parametrize("scale", [FULL, (0.35, 1.0)])
def test_drawn_as_torchvision_draws(width: int, height: int, scale: tuple[float, float]) -> None:
    """Area, aspect and place of the crops are distributed as those of torchvision's RandomResizedCrop."""
    ours = draw_many(3000, width, height, scale)
    picture = torch.zeros(3, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = [RandomResizedCrop.get_params(picture, list(scale), list(ASPECTS)) for _ in range(3000)]
    compared = {
        "area": ([v.width * v.height for v in ours], [h * w for _, _, h, w in theirs]),
        "aspect": ([v.width / v.height for v in ours], [w / h for _, _, h, w in theirs]),
        "left": ([v.left for v in ours], [left for _, left, _, _ in theirs]),
        "top": ([v.top for v in ours], [top for top, _, _, _ in theirs]),
    }
    for name, (found, expected) in compared.items():
        assert ks_2samp(found, expected).pvalue > 1e-4, name


def test_the_view_is_what_was_drawn() -> None:
    """The pixels are the crop, resized with antialiasing as Pillow does it, and mirrored where the view says so."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC))
    view = RandomView(left=20, top=10, width=100, height=90, mirrored=False)
    expected = Image.fromarray(pixels).crop((20, 10, 120, 100)).resize((32, 32), Image.Resampling.BILINEAR)
    found = apply_view(pixels, view, 32, "bilinear")
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(expected, int)).max() <= 1
    mirrored = apply_view(pixels, RandomView(20, 10, 100, 90, mirrored=True), 32, "bilinear")
    assert np.array_equal(mirrored, found[:, ::-1])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_one_pixel_becomes_a_square(interpolation: str) -> None:
    """The smallest picture is enlarged to a square of its colour; the pixels given are not touched."""
    pixels = np.array([[[10, 200, 30]]], np.uint8)
    found = apply_view(pixels, RandomView(0, 0, 1, 1, False), 8, interpolation)
    assert (found == [10, 200, 30]).all()
    assert pixels.tolist() == [[[10, 200, 30]]]
