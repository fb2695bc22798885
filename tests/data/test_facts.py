"""Facts tell what an image is like without knowing what it shows."""

import io
from dataclasses import astuple

import numpy as np
import pytest
from PIL import Image, ImageFilter

from headstart.data.facts import ImageFacts, facts_of, notes_on
from headstart.data.images import decode


def facts(image: Image.Image, format: str = "PNG", **options: object) -> ImageFacts:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return facts_of(decode(buffer.getvalue()))


@pytest.fixture
def photo() -> Image.Image:
    """Smooth shapes of many sizes, as photographs have."""
    rng = np.random.default_rng(0)
    layers = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
        for side in (3, 12, 50)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.3)


def bits_apart(one: ImageFacts, other: ImageFacts) -> int:
    return (one.dhash ^ other.dhash).bit_count()


def test_form(photo: Image.Image) -> None:
    """Size, format and mode are the file's own."""
    found = facts(photo.convert("L"), "JPEG")
    assert (found.width, found.height, found.format, found.mode, found.problem) == (320, 240, "JPEG", "L", "")


def test_pages_are_told(photo: Image.Image) -> None:
    """The files with several pages are counted, in words, and only these."""
    several = facts(photo, "TIFF", save_all=True, append_images=[photo, photo])
    single = facts(photo, "TIFF")
    assert (several.pages, single.pages) == (3, 1)
    assert notes_on([single, single]) == ()
    assert notes_on([single, several]) == ("1 file holds several pages; its first is used",)
    assert notes_on([several, single, several]) == ("2 files hold several pages; the first is used",)


def test_a_plain_colour() -> None:
    """A plain picture has its colour as mean, and neither contrast nor sharpness."""
    found = facts(Image.new("RGB", (64, 40), (250, 100, 0)))
    assert (found.red, found.green, found.blue) == (250, 100, 0)
    assert found.brightness == pytest.approx(133, abs=1)
    assert (found.contrast, found.sharpness) == (0, 0)


def test_the_same_pixels_in_another_file(photo: Image.Image) -> None:
    """What is measured does not see the file format; another picture, or the same one turned, measures differently."""

    def measured(image: Image.Image, file_format: str = "PNG") -> tuple[float, ...]:
        found = facts(image, file_format)
        return found.dhash, found.red, found.green, found.blue, found.brightness, found.contrast, found.sharpness

    changed = photo.copy()
    changed.putpixel((5, 5), (0, 0, 0))
    assert measured(photo) == measured(photo, "BMP")
    assert measured(photo) != measured(changed)
    assert measured(photo) != measured(photo.transpose(Image.Transpose.ROTATE_90))


def test_the_hash_finds_twins(photo: Image.Image) -> None:
    """A smaller, compressed or brighter copy is a few bits away, the mirror image and another picture many."""
    original = facts(photo)
    copies = [facts(photo.resize((160, 120))), facts(photo, "JPEG", quality=30), facts(photo.point(lambda v: v * 0.8 + 20))]
    assert max(bits_apart(original, copy) for copy in copies) <= 8
    assert bits_apart(original, facts(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) > 16


def test_blur_lowers_sharpness(photo: Image.Image) -> None:
    """The more blurred, the less sharp; the scale of the file hardly matters."""
    blurred = [facts(photo.filter(ImageFilter.GaussianBlur(radius))).sharpness for radius in (0, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > 5 * blurred[-1]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (3000, 20)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    """Every size has facts, all of them finite."""
    found = facts(Image.new("RGB", size, "white"))
    assert (found.width, found.height) == size
    assert all(np.isfinite(value) for value in astuple(found) if isinstance(value, float))
