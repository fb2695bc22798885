"""A box in a picture is an image of its own: its bytes, its pixels, its name."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.boxes import Box, box_and_file, boxes_in_name
from headstart.data.browser_images import browser_image
from headstart.data.image_files import BoxInFile, folder_name, picture_shown
from headstart.data.images import UnreadableImage, decode, read_bytes
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, digest_of

PREPROCESS = Preprocess(size_px=32, resize_px=36, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Noise, 200 x 120 pixels."""
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)).save(file)
    return file


def cut(picture: Path, *numbers: float, unit: str = "pixels") -> np.ndarray:
    """The pixels of a box."""
    box = Box.of(numbers, unit)  # type: ignore[arg-type]
    return np.asarray(decode(read_bytes(BoxInFile(picture, box))).rgb)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_the_same_as_the_crop_in_a_file(picture: Path, tmp_path: Path, ending: str) -> None:
    """A network sees of a box what it sees of the same crop saved losslessly, whatever the size of the picture."""
    Image.open(picture).resize((2000, 1200)).save(tmp_path / f"large.{ending}", quality=95)
    box = Box.of((300, 200, 640, 500), "pixels")
    with Image.open(tmp_path / f"large.{ending}") as large:
        large.crop((300, 200, 940, 700)).save(tmp_path / "crop.png")
    of_box = PREPROCESS.views_of_file(read_bytes(BoxInFile(tmp_path / f"large.{ending}", box)))
    np.testing.assert_array_equal(of_box, PREPROCESS.views_of_file((tmp_path / "crop.png").read_bytes()))


def test_is_in_the_upright_picture(picture: Path, tmp_path: Path) -> None:
    """Boxes count from the upper left corner that people see, also in a picture that a camera stored on its side."""
    upright = Image.open(picture)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(cut(tmp_path / "turned.png", 10, 20, 50, 30), np.asarray(upright)[20:50, 10:60])
    shares = cut(tmp_path / "turned.png", 0.05, 0.25, 0.25, 0.5, unit="shares")
    np.testing.assert_array_equal(shares, np.asarray(upright)[30:90, 10:60])


def test_edges_are_at_the_nearest_pixel(picture: Path) -> None:
    """Fractions of pixels, as COCO has them, are rounded at each edge; what is outside the picture is cut off."""
    pixels = np.asarray(Image.open(picture))
    np.testing.assert_array_equal(cut(picture, 10.4, 19.6, 20.2, 10.3), pixels[20:30, 10:31])
    np.testing.assert_array_equal(cut(picture, -20, -5, 50, 30), pixels[:25, :30])
    np.testing.assert_array_equal(cut(picture, 180, 100, 1e308, 1e308), pixels[100:, 180:])


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((200, 0, 10, 10), "outside the picture of 200 x 120"),
        ((-10, 0, 10, 5), "outside"),
        ((5, 5, 0.2, 9), "smaller than a pixel"),
    ],
)
def test_nothing_is_left(picture: Path, numbers: tuple[float, ...], reason: str) -> None:
    """A box without a pixel of the picture is no image, and the reason says so."""
    with pytest.raises(UnreadableImage, match=reason):
        cut(picture, *numbers)


def test_is_cut() -> None:
    """Whether a box reaches beyond its picture follows from what is left of it."""
    assert not Box.of((10, 10, 20, 30), "pixels").is_cut(20, 30)
    assert Box.of((-10, 10, 20, 30), "pixels").is_cut(10, 30)
    assert Box.of((0, 10, 1e300, 30), "pixels").is_cut(10, 30)
    assert not Box.of((0.7, 0, 0.1 + 0.2, 1), "shares").is_cut(30, 100)
    assert Box.of((0.8, 0, 0.3, 1), "shares").is_cut(20, 100)


def test_digest_is_of_file_and_box(picture: Path, tmp_path: Path) -> None:
    """Another box, another unit or another file is another image; the same box in a copy of the file is the same image."""
    (tmp_path / "copy.png").write_bytes(picture.read_bytes())
    boxes = [Box.of((0, 0, 1, 1), "pixels"), Box.of((0, 0, 1, 1), "shares"), Box.of((0, 0, 1, 2), "pixels")]
    of_boxes = [digest_of(Candidate("", BoxInFile(picture, box))) for box in boxes]
    assert len({*of_boxes, digest_of(Candidate("", picture))}) == 4
    assert digest_of(Candidate("", BoxInFile(tmp_path / "copy.png", boxes[0]))) == of_boxes[0]


@pytest.mark.parametrize("numbers", [(0, 0, 0, 5), (0, 0, 5, -1), (float("nan"), 0, 5, 5), (0, float("inf"), 5, 5)])
def test_what_cannot_be_a_box(numbers: tuple[float, ...]) -> None:
    """Empty boxes and numbers that are none are refused."""
    with pytest.raises(ValueError, match="its box is"):
        Box.of(numbers, "pixels")


def test_name_and_mark_say_the_same() -> None:
    """The box can be read back from its name and from its bytes, to the last digit that is written."""
    for numbers in ((10, 20, 30, 40), (473.07, 395.93, 38.65, 28.67), (1 / 3, 0, 2 / 3, 1e-7), (-0.0, -5, 1e12, 2)):
        for unit in ("pixels", "shares"):
            box = Box.of(numbers, unit)  # type: ignore[arg-type]
            assert box_and_file(box.mark + b"data") == (box, b"data")
            assert box in boxes_in_name(f"folder/a#b.jpg#{box}")[1]
            assert boxes_in_name(f"folder/a#b.jpg#{box}")[0] == "folder/a#b.jpg"
    assert boxes_in_name("a.jpg#1,2,3") == ("a.jpg#1,2,3", ())
    assert boxes_in_name("a.jpg#1,2,3,0") == ("a.jpg#1,2,3,0", ())


@pytest.mark.parametrize(
    "mark",
    [
        b"headstart box pixels 1,2,3\n",
        b"headstart box pixels 1,2,3,nan\n",
        b"headstart box miles 1,2,3,4\n",
        b"headstart box pixels 1,2,0,4\n",
        b"headstart box pixels 1,2,1e999,4\n",
        b"headstart box pixels .,2,3,4\n",
        b"headstart box pixels 1,2,3,4",
        b"headstart box pixels 1,2,3,4\nheadstart box pixels 1,2,3,4\n",
    ],
)
def test_damaged_marks(picture: Path, mark: bytes) -> None:
    """Bytes that begin like a box and are none are no image; boxes are not nested."""
    with pytest.raises(UnreadableImage):
        decode(mark + picture.read_bytes())


def test_limits_hold(picture: Path) -> None:
    """A picture that is too large is not decoded for a box in it, although it was decoded before under another limit."""
    data = read_bytes(BoxInFile(picture, Box.of((0, 0, 9, 9), "pixels")))
    assert decode(data).width == 9
    with pytest.raises(UnreadableImage, match="more than"):
        decode(data, max_pixels=1000)


def test_a_browser_gets_the_box(picture: Path) -> None:
    """What a browser shows of a box is the box, not the picture."""
    shown = browser_image(read_bytes(BoxInFile(picture, Box.of((10, 20, 30, 40), "pixels"))))
    assert Image.open(io.BytesIO(shown.content)).size == (30, 40)


def test_names(picture: Path) -> None:
    """A box is called after its picture and lies in its folder; names with # that are no boxes stay as they are."""
    file = BoxInFile(picture, Box.of((1, 2, 3, 4), "pixels"))
    assert (file.name, folder_name(file)) == ("a.png#1,2,3,4", picture.parent.name)
    assert picture_shown("x/a.png#1,2,3,4", file) == "x/a.png"
    assert picture_shown("x/a.png#1,2,3,4", picture) == "x/a.png#1,2,3,4"
    assert str(file.resolve()) == f"{picture.resolve()}#1,2,3,4"
