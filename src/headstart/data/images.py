"""The only place that opens or encodes an image.

What a file is, its content says, not its name. Every image comes out as 8-bit RGB, upright, or as an UnreadableImage
whose reason can be shown to the owner of the file.
"""

import io
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError, __version__, features

from headstart.forks import lock_free_at_forks

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "TIFF",
    "PPM",
    "AVIF",
)  # the JPEG reader also takes MPO, the format of 3D and phone cameras
MAX_PIXELS = 178_956_970  # as many as Pillow itself opens without an error; 0.5 GB as RGB
LARGE_PIXELS = 8_000_000  # an image of more, as it is decoded, is decoded while no other large one is
MAX_BYTES = 1 << 30  # of a file: more than the largest image takes uncompressed
DECODING = 1  # raised with every change here that changes a pixel
EXIF_ORIENTATION = 0x0112
# EXIF orientation -> what turns the picture upright (TIFF 6.0, tag 274)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Beginnings of files that are often found among images, and what to tell their owner.
OTHER_FILES = (
    (b"GIF8", "a GIF: animations and placeholders are not read"),
    (b"\xff\xd8\xff", "the image is damaged: a JPEG cut off in its header"),
    (b"\x89PNG", "the image is damaged: a PNG cut off in its header"),
    (b"%PDF", "a PDF, not an image"),
    (b"PK\x03\x04", "a zip archive, not an image"),
    (b"\x1f\x8b", "a gzip archive, not an image"),
    (b"<svg", "an SVG drawing, not pixels"),
    (b"<!doctype", "a web page, not an image"),
    (b"<html", "a web page, not an image"),
    (b"8bps", "a Photoshop file, not a flat image"),
    (b"\x00\x00\x01\x00", "an icon file, not a photograph"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file: floating-point pixels are not read"),
)
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

# Decoding takes up to 16 bytes a pixel (transparency, 16 bits): without turns, each thread could take gigabytes at once.
TURN = lock_free_at_forks()

Image.init()  # registers every plugin once, before threads start
# Pillow warns of large images and odd metadata. What matters of it is raised below as a reason; catching the warnings
# call by call is not possible, because warnings.catch_warnings is not safe in threads.
warnings.filterwarnings("ignore", module="PIL")


# What is wrong with a file: its content is damaged, is something else than an image that is read, or is too large.
Fault = Literal["damaged", "type", "size"]


class UnreadableImage(Exception):  # noqa: N818 - a fact about a file, not a failure of the program
    """The file is not an image that can be used; `reason` says why in a few words."""

    def __init__(self, reason: str, fault: Fault = "damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of a file, and what the file itself said of them."""

    rgb: Image.Image  # upright, 8-bit RGB; smaller than the file's where reduced decoding was asked for
    format: str  # Pillow's name, by content: "JPEG", "PNG" ...
    mode: str  # the file's own pixel mode: "RGB", "P", "I;16" ...
    width: int  # of the file, upright, pixels
    height: int


def pixels_version() -> str:
    """A name for all that turns a file's bytes into pixels: this module, Pillow, and the JPEG library Pillow was built with."""
    return f"{DECODING}-pillow{__version__}-jpeg{features.version_codec('jpg')}"


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises UnreadableImage if it does not exist or cannot be read."""
    try:
        if not path.is_file():
            raise UnreadableImage("not a file" if path.exists() else "there is no such file")
        check_size(path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise UnreadableImage(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error


def check_size(n_bytes: int) -> None:
    """Raises UnreadableImage for a file of more bytes than an image takes."""
    if n_bytes > MAX_BYTES:
        raise UnreadableImage(f"larger than {MAX_BYTES >> 30} GiB: not an image that is read", "size")


def decode(data: bytes, *, shorter_side_px: int = 0, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """An upright 8-bit RGB image from the bytes of a file.

    `shorter_side_px` above 0 lets a JPEG be decoded at a half, a quarter or an eighth of its size, so long as its shorter
    side keeps at least that many pixels. Raises UnreadableImage.
    """
    if not data:
        raise UnreadableImage("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        kind, mode, full = image.format or "", image.mode, image.size
        if full[0] * full[1] > max_pixels:
            raise UnreadableImage(f"{full[0]} x {full[1]} pixels: more than {_millions(max_pixels)} million", "size")
        if shorter_side_px and kind in ("JPEG", "MPO"):
            ratio = shorter_side_px / min(full)
            image.draft(None, (max(1, round(full[0] * ratio)), max(1, round(full[1] * ratio))))
        reduced = image.size != full
        with TURN if image.width * image.height > LARGE_PIXELS else nullcontext():
            image.load()
            orientation = _orientation(image)
            rgb = to_rgb(image, kind)
            if orientation in UPRIGHT:
                rgb = rgb.transpose(UPRIGHT[orientation])
            if rgb is not image:
                image.close()  # its pixels are not needed while the other's are resized
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"more than {_millions(max_pixels)} million pixels", "size") from error
    except UnidentifiedImageError as error:
        reason = _what_else(data)
        raise UnreadableImage(reason, "damaged" if reason.startswith("the image is damaged") else "type") from error
    except Exception as error:
        # A damaged file can make a decoder raise anything; each becomes the file's reason.
        raise UnreadableImage(f"the image is damaged: {error or type(error).__name__}") from error
    # Pillow itself turns a TIFF upright while loading, so what was decoded in full tells its own upright size.
    width, height = rgb.size if not reduced else full[::-1] if 5 <= orientation <= 8 else full
    return DecodedImage(rgb=rgb, format=kind, mode=mode, width=width, height=height)


def to_rgb(image: Image.Image, kind: str) -> Image.Image:
    """8-bit RGB of a loaded image: alpha on white, 16 bits divided by 257. Raises UnreadableImage for other depths.

    `kind` is the file's format: mode "I" holds 16-bit values in PNG and PPM, 32-bit ones in TIFF.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        raise UnreadableImage("32-bit integer pixels: their range is unknown; save the image with 8 or 16 bits", "type")
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels: their range is unknown; save the image with 8 or 16 bits", "type")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def thumbnail(image: Image.Image, side_px: int) -> np.ndarray:
    """The whole image, made to fit into a white square: (side_px, side_px, 3) uint8."""
    ratio = side_px / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)  # large ones are halved first: as good, and faster
    square = Image.new("RGB", (side_px, side_px), "white")
    square.paste(small, ((side_px - small.width) // 2, (side_px - small.height) // 2))
    return np.asarray(square)


def encode_thumbnail(image: Image.Image, longer_side_px: int) -> bytes:
    """The whole of an RGB image, made smaller where it is larger, as a JPEG file."""
    small = image.copy()
    small.thumbnail((longer_side_px, longer_side_px), reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return file.getvalue()


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:
        # Broken metadata raises anything. The pixels are good, and "upright" is what every viewer then assumes.
        return 1


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.3g}" if pixels < 10**8 else str(pixels // 10**6)


def _what_else(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        return "a HEIC photograph: save it as JPEG first (phones can be set to take JPEG)"
    start = data[:64].lstrip().lower()
    for beginning, reason in OTHER_FILES:
        if start.startswith(beginning.lower()):
            return reason
    if all(byte >= 9 for byte in data[:512]):
        return "a text file, not an image"
    return "not an image in a format that is read (JPEG, PNG, WebP, BMP, TIFF, PPM, AVIF)"
