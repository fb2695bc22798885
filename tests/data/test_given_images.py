"""What a program has in memory is the image that its file is."""

import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps

from headstart.data.given_images import ImageInMemory, given_images
from headstart.data.images import UnreadableImage, decode
from headstart.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def decoded(given: Any) -> list[np.ndarray]:
    """The pixels that each image has after the way of every file, where large JPEGs are decoded at a reduced size."""
    return [np.asarray(decode(image.read(), shorter_side_px=16).rgb) for image in given_images(given)]


def names(given: Any) -> list[str]:
    return [image.path for image in given_images(given)]


def rotated_jpeg(file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).resize((300, 400)).save(file, "JPEG", exif=exif, quality=95)


def with_profile(file: Path, format: str = "PNG", mode: str = "RGB") -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).convert(mode).save(file, format, icc_profile=profile)


def saved(mode: str, format: str, **options: Any) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        Image.fromarray(PIXELS).convert(mode).save(file, format, **options)

    return write


def deep(file: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 1 << 16, (40, 30), dtype=np.uint16)
    Image.fromarray(levels).save(file, "PNG")


def upright_tiff(file: Path) -> None:
    Image.fromarray(PIXELS).save(file, "TIFF", tiffinfo={0x0112: 8})


WRITERS: dict[str, Callable[[Path], None]] = {
    "rotated JPEG": rotated_jpeg,
    "CMYK JPEG": saved("CMYK", "JPEG"),
    "grey JPEG": saved("L", "JPEG"),
    "PNG with a profile": with_profile,
    "JPEG with a profile": partial(with_profile, format="JPEG"),
    "RGBA": lambda file: Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]])).save(file, "PNG"),
    "palette": saved("P", "PNG", transparency=3),
    "colour that is transparent": saved("RGB", "PNG", transparency=tuple(int(v) for v in PIXELS[3, 4])),
    "grey and alpha": saved("LA", "PNG"),
    "bilevel": saved("1", "PNG"),
    "16 bits": deep,
    "turned TIFF": upright_tiff,
    "CMYK TIFF": saved("CMYK", "TIFF"),
    "lossless WebP": saved("RGBA", "WEBP", lossless=True),
    "BMP": saved("RGB", "BMP"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_pil_image_is_its_file(tmp_path: Path, kind: str) -> None:
    """Opened from a path or from bytes, loaded or closed, a PIL image has the pixels that its file has as a path."""
    file = tmp_path / "image"
    WRITERS[kind](file)
    (wanted,) = decoded(file)
    with Image.open(file) as opened, Image.open(io.BytesIO(file.read_bytes())) as in_memory, file.open("rb") as open_file:
        loaded = Image.open(file)
        loaded.load()
        with Image.open(file) as closed:
            pass
        for image in (opened, in_memory, loaded, closed, file.read_bytes(), open_file):
            (found,) = decoded(image)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if "JPEG" not in kind])
def test_pixels_alone_are_enough(tmp_path: Path, kind: str) -> None:
    """Where the file is out of reach, transparency, depth, profile and orientation of a PIL image count as in it."""
    file = tmp_path / "image"
    WRITERS[kind](file)
    (wanted,) = decoded(file)
    image = Image.open(file)
    image.load()
    file.unlink()
    np.testing.assert_array_equal(decoded(image)[0], wanted)
    np.testing.assert_array_equal(decoded(image.copy())[0], wanted)


def test_a_converted_photograph_is_upright(tmp_path: Path) -> None:
    """`Image.open(path).convert("RGB")` keeps the orientation that the camera noted, so it is turned; not twice."""
    rotated_jpeg(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        turned = ImageOps.exif_transpose(image)
        np.testing.assert_array_equal(decoded(image.convert("RGB"))[0], np.asarray(turned))
        np.testing.assert_array_equal(decoded(turned)[0], np.asarray(turned))


def test_a_changed_image_is_what_it_shows(tmp_path: Path) -> None:
    """What was drawn on a PIL image after it was opened counts; the file behind it does not."""
    saved("RGB", "PNG")(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    ImageDraw.Draw(image).rectangle((0, 0, 20, 20), fill="red")
    np.testing.assert_array_equal(decoded(image)[0], np.asarray(image))
    saved("L", "PNG")(tmp_path / "b.png")
    other = Image.open(tmp_path / "b.png")
    other.load()
    saved("RGB", "PNG")(tmp_path / "b.png")  # the file became another one
    np.testing.assert_array_equal(decoded(other)[0][..., 0], np.asarray(other))


def test_a_later_frame_is_that_frame(tmp_path: Path) -> None:
    """Of a file with several pictures, the one that was chosen counts."""
    first, second = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        assert decoded(image)[0][0, 0].tolist() == [0, 0, 255]


def test_a_profile_of_another_mode_is_left_out(tmp_path: Path) -> None:
    """A CMYK profile does not describe the RGB image that was converted from it."""
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0)).convert("RGB")
    image.info["icc_profile"] = b"\0" * 16 + b"CMYK" + b"\0" * 108
    (given,) = given_images(image)
    assert "icc_profile" not in Image.open(io.BytesIO(given.read())).info


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "RGBX", "RGBa", "La", "PA", "F", "I", "I;16B"])
def test_every_mode_of_pil(mode: str) -> None:
    """Every mode of PIL is decoded, or has a reason: depths with an unknown range are refused as in files."""
    rgb = Image.fromarray(PIXELS)
    image = rgb if mode == "PA" else rgb.convert({"LAB": "RGB", "RGBa": "RGBA", "La": "LA", "I;16B": "I"}.get(mode, mode))
    if mode == "PA":
        image = rgb.convert("P").convert("PA")
    elif mode == "LAB":
        image = ImageCms.applyTransform(
            rgb, ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        )
    elif mode in ("RGBa", "La", "I;16B"):
        image = image.convert(mode)
    assert image.mode == mode
    if mode in ("F", "I"):
        with pytest.raises(UnreadableImage, match="their range is unknown"):
            decoded(image)
    else:
        assert decoded(image)[0].shape == PIXELS.shape


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (PIXELS, PIXELS),
        (PIXELS[::-1, :, ::-1], PIXELS[::-1, :, ::-1]),
        (PIXELS[..., 0], PIXELS[..., :1].repeat(3, 2)),
        (PIXELS[..., :1], PIXELS[..., :1].repeat(3, 2)),
        (np.dstack([PIXELS, np.full((40, 30), 255, np.uint8)]), PIXELS),
        (np.dstack([PIXELS, np.zeros((40, 30), np.uint8)]), np.full_like(PIXELS, 255)),
        (np.asfortranarray(PIXELS), PIXELS),
    ],
    ids=["RGB", "mirrored view", "grey", "one channel", "opaque", "transparent", "columns first in memory"],
)
def test_arrays(array: np.ndarray, wanted: np.ndarray) -> None:
    """An array is an image as it is: grey, RGB, or with transparency, which is white as in files."""
    (found,) = decoded(array)
    np.testing.assert_array_equal(found, wanted)


def test_one_and_many() -> None:
    """One image is one; lists, tuples, iterators, batches and columns are many, each named by its place."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    data = file.getvalue()
    assert (
        names("photo.jpg")
        == names(np.str_("photo.jpg"))
        == names(Path("photo.jpg"))
        == names(np.array("photo.jpg"))
        == ["photo.jpg"]
    )
    assert names(data) == names(PIXELS) == names(file) == names(Image.fromarray(PIXELS)) == ["image"]
    many: list[Any] = [
        [data, PIXELS],
        (PIXELS, PIXELS),
        iter([PIXELS, file]),
        np.stack([PIXELS, PIXELS]),
        [memoryview(data), bytearray(data)],
    ]
    for given in many:
        assert names(given) == ["images[0]", "images[1]"]
        for found in decoded(given if not isinstance(given, Iterator) else [PIXELS, file]):
            np.testing.assert_array_equal(found, PIXELS)
    assert names(["a.jpg", PIXELS]) == ["a.jpg", "images[1]"]
    empty: list[Any] = [[], (), np.array([]), np.empty((0, 40, 30, 3), np.uint8), iter([])]
    assert [names(given) for given in empty] == [[]] * 5


def test_columns_of_paths() -> None:
    """Paths come as lists, arrays, keys, columns and tables with one column, of NumPy, pandas and pyarrow."""
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    paths = ["a.jpg", "b.jpg"]
    frame = pandas.DataFrame({"path": paths})
    table = pyarrow.table({"path": paths})
    columns = [np.array(paths), np.array(paths, object), np.array(paths)[:, None], frame.path, frame.path.astype("category")]
    for given in [
        *columns,
        dict.fromkeys(paths),
        frame,
        pandas.Index(paths),
        table["path"],
        table,
        table["path"].chunk(0),
        map(Path, paths),
    ]:
        assert names(given) == paths
    for two in (frame.assign(label="x"), table.append_column("label", [["x", "y"]])):
        with pytest.raises(DataError, match=r"images is a table of 2 columns \(path, label\).*table\['path'\]"):
            names(two)


class Tensor:
    """As torch's: an iterable whose type is in a module torch."""

    __module__ = "torch"

    def __iter__(self) -> Iterator[int]:
        return iter([1])


class Upload:
    """As web frameworks have it: a file that is read asynchronously."""

    def seekable(self) -> bool:
        return False

    def read(self, size: int) -> object:
        return object()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (PIXELS.astype(np.float32), "image is an array of float32, not uint8.*255"),
        ([PIXELS, PIXELS > 3], r"images\[1\] is an array of bool, not uint8"),
        (PIXELS.transpose(2, 0, 1), r"image is an array of shape \(3, 40, 30\) \(put the channels last"),
        (PIXELS.transpose(2, 0, 1)[None], r"images\[0\] is an array of shape \(3, 40, 30\) \(put the channels last"),
        (PIXELS[..., :2], r"shape \(40, 30, 2\) \(an image is \(height, width, 3\), RGB"),
        (PIXELS[None, None], r"images\[0\] is an array of shape \(1, 40, 30, 3\)"),
        ([PIXELS[:, :0]], r"images\[0\] is an array of shape \(40, 0, 3\)"),
        (np.arange(3), r"images\[0\] is a numpy.int64, which is not taken as an image \(give paths, PIL images, uint8"),
        ([["a.jpg"]], r"images\[0\] is a list, which is not taken"),
        (["a.jpg", None], r"images\[1\] is a NoneType"),
        (7, "image is a int, which is not taken"),
        (None, "image is a NoneType, which is not taken"),
        ({"a.jpg"}, "images is a set, which has no order"),
        (Tensor(), "image is a torch.Tensor.*uint8 array.*not normalised"),
        ([Tensor()], r"images\[0\] is a torch.Tensor.*not normalised"),
        (np.array([["a.jpg", "b.jpg"]]), r"images is an array of shape \(1, 2\)"),
        (io.StringIO("text"), "image is a file that was opened as text .open it with 'rb'"),
        (Upload(), r"image is a file whose read\(\) gives no bytes"),
    ],
)
def test_what_is_no_image_is_refused(given: Any, sentence: str) -> None:
    """What cannot be taken is named with its place, and the hint says what can."""
    with pytest.raises(DataError, match=sentence):
        list(given_images(given))


def test_what_cannot_be_read_has_its_reason(tmp_path: Path) -> None:
    """Bytes and PIL images that cannot be decoded are no error of the program: they get a reason, as files do."""
    saved("RGB", "PNG")(tmp_path / "whole.png")
    half = (tmp_path / "whole.png").read_bytes()[:600]
    (tmp_path / "whole.png").unlink()
    closed = io.BytesIO(half)
    closed.close()
    reasons = {"empty": b"", "text": b"hello", "damaged": Image.open(io.BytesIO(half)), "closed file": closed}
    for word, given in reasons.items():
        (image,) = given_images(given)
        with pytest.raises(UnreadableImage, match=word):
            decode(image.read())


def test_an_open_file_is_read_as_a_whole() -> None:
    """A buffer that was just written to, or read before, is read from its start, every time."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    np.testing.assert_array_equal(decoded(file)[0], PIXELS)
    np.testing.assert_array_equal(decoded(file)[0], PIXELS)


def test_a_reused_buffer_is_copied() -> None:
    """A program that fills one array, image or buffer again and again gets the answers of what each showed at its turn."""
    frame, canvas, buffer = np.zeros((4, 4, 3), np.uint8), Image.new("RGB", (4, 4)), bytearray()

    def frames() -> Iterator[Any]:
        for value in (10, 20):
            frame[:] = value
            yield frame
            canvas.paste((value, value, value), (0, 0, 4, 4))
            yield canvas
            buffer[:] = b"P6\n4 4\n255\n" + bytes([value]) * 48
            yield buffer

    given = list(given_images(frames()))
    assert [int(decode(image.read()).rgb.getpixel((0, 0))[0]) for image in given] == [10, 10, 10, 20, 20, 20]


def test_images_that_are_not_loaded_stay_so(tmp_path: Path) -> None:
    """A list of opened files takes no memory for their pixels."""
    saved("RGB", "PNG")(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert decoded(image)
        assert image.tile, "it was loaded"


def test_paths_of_any_kind(tmp_path: Path) -> None:
    """Whatever has a path is one."""
    saved("RGB", "PNG")(tmp_path / "a.png")
    (entry,) = os.scandir(tmp_path)
    (given,) = given_images(entry)
    assert not isinstance(given, ImageInMemory)
    assert (given.path, given.file) == (str(tmp_path / "a.png"), tmp_path / "a.png")
