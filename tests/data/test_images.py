"""Every kind of file a folder of images may hold: read correctly, or left with its reason."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from headstart.data.images import EXIF_ORIENTATION, UnreadableImage, decode, read_bytes, thumbnail

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width: int = 60, height: int = 40) -> Image.Image:
    """Red, green, blue and white: every turn and mirroring of it looks different."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return image


def scene(width: int, height: int) -> Image.Image:
    """A picture with soft and fine structure, as a photograph has."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [127 + 60 * np.sin(x / (9 + 7 * c)) * np.cos(y / (13 + 5 * c)) + 40 * np.sin((x + y) / 170) for c in range(3)]
    return Image.fromarray(np.stack(waves, axis=-1).clip(0, 255).astype(np.uint8))


def pixel(data: bytes) -> tuple[int, ...]:
    decoded = decode(data)
    assert decoded.rgb.mode == "RGB"
    return decoded.rgb.getpixel((0, 0))


def reason_for(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    return caught.value.reason


def png_of(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG made by hand: Pillow writes no RGB of 16 bits."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def palette_image(transparent: bool) -> bytes:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    return encode(image, "PNG", **({"transparency": 1} if transparent else {}))


def bmp_with_alpha(*alphas: int) -> bytes:
    """A red BMP with a header that names an alpha (BITMAPV4HEADER); its bytes take these values in turn."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 8, 8, 1, 32, 3, 256, 2835, 2835, 0, 0) + masks + bytes(52)
    rows = b"".join(bytes([0, 0, 255, alphas[i % len(alphas)]]) for i in range(64))
    return struct.pack("<2sIHHI", b"BM", 122 + len(rows), 0, 0, 122) + header + rows


@pytest.mark.parametrize(
    ("data", "mode", "expected"),
    [
        pytest.param(encode(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG"), "RGB", (1, 2, 3), id="RGB"),
        pytest.param(encode(Image.new("L", (8, 8), 77), "PNG"), "L", (77, 77, 77), id="greyscale"),
        pytest.param(encode(Image.new("L", (8, 8), 77), "JPEG"), "L", (77, 77, 77), id="greyscale JPEG"),
        pytest.param(encode(Image.new("1", (8, 8), 1), "PNG"), "1", WHITE, id="1 bit"),
        pytest.param(encode(Image.new("1", (8, 8), 0), "TIFF"), "1", (0, 0, 0), id="1 bit TIFF"),
        pytest.param(palette_image(transparent=False), "P", RED, id="palette"),
        pytest.param(palette_image(transparent=True), "P", WHITE, id="palette with a transparent colour"),
        pytest.param(encode(Image.new("LA", (8, 8), (0, 0)), "PNG"), "LA", WHITE, id="grey, transparent"),
        pytest.param(encode(Image.new("LA", (8, 8), (80, 255)), "PNG"), "LA", (80, 80, 80), id="grey, opaque"),
        pytest.param(encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), "RGBA", WHITE, id="RGB, transparent"),
        pytest.param(encode(Image.new("RGBA", (8, 8), (255, 0, 0, 51)), "PNG"), "RGBA", (255, 204, 204), id="RGB, a fifth"),
        pytest.param(encode(Image.new("RGB", (8, 8), RED), "PNG", transparency=RED), "RGB", WHITE, id="one transparent colour"),
        pytest.param(encode(Image.new("RGB", (8, 8), RED), "BMP"), "RGB", RED, id="BMP"),
        pytest.param(encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "BMP"), "RGB", RED, id="BMP with a byte unused"),
        pytest.param(bmp_with_alpha(0), "RGBA", RED, id="BMP whose alpha is 0 everywhere"),
        pytest.param(bmp_with_alpha(0, 51), "RGBA", WHITE, id="BMP with transparent and other pixels"),
        pytest.param(bmp_with_alpha(255), "RGBA", RED, id="BMP, opaque"),
        pytest.param(encode(Image.new("RGB", (8, 8), RED), "WEBP", lossless=True), "RGB", RED, id="WebP"),
        pytest.param(encode(Image.new("RGB", (8, 8), RED), "PPM"), "RGB", RED, id="PPM"),
        pytest.param(encode(Image.new("L", (8, 8), 9), "PPM"), "L", (9, 9, 9), id="PGM"),
        pytest.param(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), "CMYK", RED, id="CMYK TIFF"),
    ],
)
def test_modes(data: bytes, mode: str, expected: tuple[int, ...]) -> None:
    """Every pixel mode comes out as 8-bit RGB, transparency on white, and the file's own mode is told."""
    assert pixel(data) == expected
    assert decode(data).mode == mode


@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 255, 255, 0), RED), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), WHITE), ((255, 255, 0, 0), (0, 0, 255))],
)
def test_cmyk_jpeg_is_not_inverted(ink: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """A CMYK JPEG, as layout programs write it, keeps its colours."""
    found = pixel(encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))
    assert np.abs(np.subtract(found, expected)).max() <= 3


def test_lab_tiff() -> None:
    """A TIFF in CIE L*a*b* keeps its colours."""
    data = encode(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF")
    assert decode(data).mode == "LAB"
    assert min(pixel(data)) >= 254


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats(kind: str) -> None:
    """JPEG and AVIF come out as they were saved, up to their loss."""
    image = scene(96, 64)
    difference = np.abs(np.asarray(decode(encode(image, kind, quality=95)).rgb, int) - np.asarray(image, int))
    assert difference.mean() < 3


def test_first_page_of_a_tiff() -> None:
    """Of a TIFF with several pages the first is read."""
    pages = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0))]
    assert pixel(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])) == RED


def test_mpo_is_read() -> None:
    """The MPO of 3D cameras and phones is read as the JPEG it begins with, at reduced scale too."""
    data = encode(scene(640, 480), "MPO", save_all=True, append_images=[Image.new("RGB", (640, 480), RED)])
    decoded = decode(data, shorter_side_px=100)
    assert (decoded.format, decoded.rgb.size, decoded.width, decoded.height) == ("MPO", (160, 120), 640, 480)


GRADIENT = np.arange(65_536, dtype=np.uint16).reshape(256, 256)


def big_endian_tiff() -> bytes:
    return encode(Image.frombytes("I;16B", (256, 256), GRADIENT.astype(">u2").tobytes()), "TIFF")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(Image.fromarray(GRADIENT), "PNG"), id="PNG"),
        pytest.param(encode(Image.fromarray(GRADIENT), "TIFF"), id="TIFF"),
        pytest.param(encode(Image.fromarray(GRADIENT), "TIFF", compression="tiff_lzw"), id="TIFF, LZW"),
        pytest.param(big_endian_tiff(), id="TIFF, big-endian"),
        pytest.param(b"P5 256 256 65535\n" + GRADIENT.astype(">u2").tobytes(), id="PGM"),
        pytest.param(b"P2 256 256 65535\n" + " ".join(map(str, GRADIENT.ravel())).encode(), id="PGM in letters"),
    ],
)
def test_16_bit_grey_is_divided_by_257(data: bytes) -> None:
    """A gradient through all 65,536 levels comes out as round(level / 257) everywhere: nothing is clipped."""
    expected = np.round(GRADIENT / 257).astype(np.uint8)
    found = np.asarray(decode(data).rgb)
    assert (found == expected[..., None]).all()
    assert (found.min(), found.max()) == (0, 255)


def test_dark_16_bit_image_stays_dark() -> None:
    """All 16-bit images are scaled alike: one that uses the lowest levels only is not stretched."""
    assert pixel(encode(Image.fromarray(np.full((8, 8), 2570, np.uint16)), "PNG")) == (10, 10, 10)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4)])
def test_16_bit_rgb_png(colour_type: int, channels: int) -> None:
    """A PNG with 16 bits a channel comes out within one level of the exact division, and unclipped."""
    levels = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT.T, np.full_like(GRADIENT, 65_535)], axis=-1)[..., :channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    found = np.asarray(decode(png_of(256, 256, 16, colour_type, rows)).rgb, int)
    assert np.abs(found - np.round(levels[..., :3] / 257)).max() <= 1
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((8, 8), np.float32), "floating-point pixels: their range is unknown; save the image with 8 or 16 bits"),
        (np.zeros((8, 8), np.int32), "32-bit integer pixels: their range is unknown; save the image with 8 or 16 bits"),
    ],
)
def test_pixels_of_unknown_range(pixels: np.ndarray, reason: str) -> None:
    """Float and 32-bit integer TIFFs are left out with what to do about it."""
    assert reason_for(encode(Image.fromarray(pixels), "TIFF")) == reason


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    """A picture lies as its camera was held, in all eight ways and every format that can say so."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = encode(quadrants(), kind, exif=exif)
    decoded = decode(data)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert decoded.rgb.size == (decoded.width, decoded.height) == ((60, 40) if orientation < 5 else (40, 60))
    assert (np.asarray(decoded.rgb) == np.asarray(expected)).all()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, "RGBW"), (2, "GRWB"), (3, "WBGR"), (4, "BWRG"), (5, "RBGW"), (6, "BRWG"), (7, "WGBR"), (8, "GWRB")],
)
def test_exif_orientation_by_the_book(orientation: int, upright: str) -> None:
    """The four corners, read row by row, end where the TIFF standard says."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    rgb = decode(encode(quadrants(), "PNG", exif=exif)).rgb
    right, bottom = rgb.width - 1, rgb.height - 1
    letters = {RED: "R", (0, 255, 0): "G", (0, 0, 255): "B", WHITE: "W"}
    assert "".join(letters[rgb.getpixel(at)] for at in ((0, 0), (right, 0), (0, bottom), (right, bottom))) == upright


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_reduced_decoding_keeps_the_files_size(orientation: int) -> None:
    """The size that is recorded is the file's, upright, also where the reduced picture is square by rounding."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    decoded = decode(encode(scene(803, 801), "JPEG", exif=exif), shorter_side_px=100)
    assert decoded.rgb.size == (101, 101)
    assert (decoded.width, decoded.height) == ((801, 803) if orientation == 6 else (803, 801))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"]
)
def test_broken_exif_does_not_cost_the_image(exif: bytes) -> None:
    """Good pixels with broken metadata are read, and taken as upright."""
    decoded = decode(encode(quadrants(), "JPEG", exif=exif))
    assert decoded.rgb.size == (60, 40)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_orientation_that_does_not_exist(orientation: int) -> None:
    """An orientation beyond the eight is none."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    assert decode(encode(quadrants(), "PNG", exif=exif)).rgb.size == (60, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated(kind: str, share: float) -> None:
    """A file that was copied in part only is left out as damaged, not filled up with grey."""
    data = encode(scene(200, 150), kind)
    assert reason_for(data[: int(len(data) * share)]).startswith("the image is damaged: ")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("length", [8, 20])
def test_truncated_in_its_header(kind: str, length: int) -> None:
    """A file with little more than its first bytes is still told to be a damaged image, not something else."""
    assert reason_for(encode(scene(200, 150), kind)[:length]).startswith("the image is damaged: ")


def gif() -> bytes:
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "a")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"these are my notes\n", "a text file, not an image", id="text"),
        pytest.param("Käfer, Größe".encode(), "a text file, not an image", id="text with umlauts"),
        pytest.param(gif(), "a GIF: animations and placeholders are not read", id="GIF"),
        pytest.param(zipped(), "a zip archive, not an image", id="zip"),
        pytest.param(b"\x1f\x8b\x08\0rest", "a gzip archive, not an image", id="gzip"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3", "a PDF, not an image", id="PDF"),
        pytest.param(b"\n <!DOCTYPE html><html>", "a web page, not an image", id="web page"),
        pytest.param(b"<svg xmlns=''/>", "an SVG drawing, not pixels", id="SVG"),
        pytest.param(b"8BPS\0\x01" + bytes(30), "a Photoshop file, not a flat image", id="Photoshop"),
        pytest.param(b"\0\0\x01\0" + bytes(30), "an icon file, not a photograph", id="icon"),
        pytest.param(b"\0" * 4096, "not an image in a format that is read (JPEG, PNG, WebP, BMP, TIFF, PPM, AVIF)", id="zeros"),
    ],
)
def test_not_an_image(data: bytes, reason: str) -> None:
    """What is no image is left out with a reason that says what it is."""
    assert reason_for(data) == reason


@pytest.mark.parametrize("side", [13_500, 50_000])
def test_decompression_bomb(side: int) -> None:
    """A few bytes that promise billions of pixels are refused by their header, before any memory is taken."""
    data = png_of(side, side, 8, 2, b"\0" * 100)
    assert len(data) < 200
    assert "178 million" in reason_for(data)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    """A PNG is read as PNG whatever its name says, also without any ending."""
    for name in ("a.jpg", "a.txt", "a"):
        (tmp_path / name).write_bytes(encode(quadrants(), "PNG"))
        assert decode(read_bytes(tmp_path / name)).format == "PNG"


@pytest.mark.parametrize(
    ("size", "shorter_side_px", "expected"),
    [
        ((1600, 1200), 150, (200, 150)),
        ((1600, 1200), 151, (400, 300)),
        ((1200, 1600), 300, (300, 400)),
        ((1600, 1200), 601, (1600, 1200)),
        ((1600, 1200), 5000, (1600, 1200)),
        ((1601, 1207), 150, (201, 151)),
        ((1, 1), 100, (1, 1)),
        ((2000, 3), 2, (2000, 3)),
    ],
)
def test_reduced_scale_keeps_the_promised_side(size: tuple[int, int], shorter_side_px: int, expected: tuple[int, int]) -> None:
    """A JPEG is decoded at the smallest of its scales whose shorter side is long enough."""
    decoded = decode(encode(scene(*size), "JPEG"), shorter_side_px=shorter_side_px)
    assert decoded.rgb.size == expected
    assert (decoded.width, decoded.height) == size


def test_reduced_scale_shows_the_same_picture() -> None:
    """A picture decoded at a quarter differs from the whole one, made as small, by a level or two on average."""
    data = encode(scene(1600, 1200), "JPEG", quality=90)
    reduced = decode(data, shorter_side_px=300).rgb
    whole = decode(data).rgb.reduce(4)
    assert np.abs(np.asarray(reduced, int) - np.asarray(whole, int)).mean() < 1


def test_only_jpeg_is_reduced() -> None:
    """Other formats have no reduced scale and come whole."""
    assert decode(encode(quadrants(800, 600), "PNG"), shorter_side_px=10).rgb.size == (800, 600)


VALID = [
    encode(quadrants(24, 16), kind, **options)
    for kind, options in [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
        ("AVIF", {}),
    ]
]


def readable_or_reason(data: bytes) -> None:
    try:
        decoded = decode(data, shorter_side_px=8)
    except UnreadableImage as unreadable:
        assert unreadable.reason
    else:
        assert decoded.rgb.mode == "RGB"
        assert min(decoded.rgb.size) > 0


@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:12] for data in VALID)]))
def test_any_bytes(tail: bytes, head: bytes) -> None:
    """Whatever the bytes, with or without an image's beginning: an image or a reason, never another exception."""
    readable_or_reason(head + tail)


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_any_damage(data: bytes, changes: list[tuple[float, int]], kept: float) -> None:
    """A good file with bytes changed or cut off: an image or a reason, never another exception."""
    damaged = bytearray(data)
    for where, value in changes:
        damaged[int(where * len(damaged))] = value
    readable_or_reason(bytes(damaged))
    readable_or_reason(bytes(damaged[: int(kept * len(damaged))]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: path.symlink_to("nowhere"), "there is no such file"),
        (lambda path: path.symlink_to(path.name), "there is no such file"),
    ],
    ids=["missing", "folder", "dangling link", "link to itself"],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    """A path without a file behind it is left out with what is there instead."""
    make(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImage) as caught:
        read_bytes(tmp_path / "a.jpg")
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["a\0.jpg", "a" * 300 + ".jpg"])
def test_impossible_name(tmp_path: Path, name: str) -> None:
    """A name that no file can have is left out like any other unreadable file."""
    with pytest.raises(UnreadableImage):
        read_bytes(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe among the images does not hang the run."""
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImage, match="not a file"):
        read_bytes(tmp_path / "a.jpg")


def test_file_that_may_not_be_read(folder_of_nobody: Path) -> None:
    """A file without read permission is left out with the system's word for it."""
    (folder_of_nobody / "a.jpg").write_bytes(b"x")
    (folder_of_nobody / "a.jpg").chmod(0)
    with pytest.raises(UnreadableImage, match="the file cannot be read: Permission denied"):
        read_bytes(folder_of_nobody / "a.jpg")


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (1, 1), (3000, 2), (2, 3000)])
def test_thumbnail(size: tuple[int, int]) -> None:
    """A thumbnail is a square that holds the whole image on white."""
    found = thumbnail(Image.new("RGB", size, RED), 32)
    assert (found.shape, found.dtype) == ((32, 32, 3), np.uint8)
    red = (found == RED).all(axis=-1)
    assert (red | (found == WHITE).all(axis=-1)).all()
    expected = [max(1, round(32 * side / max(size))) for side in (size[1], size[0])]
    assert [np.ptp(np.flatnonzero(red.any(axis=axis))) + 1 for axis in (1, 0)] == expected
