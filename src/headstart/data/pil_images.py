"""PIL images as the bytes of image files: of the file they were opened from, or of a new one with the same pixels."""

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from headstart.data.images import EXIF_ORIENTATION, UnreadableImage, read_bytes

AS_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}  # PIL's modes that PNG keeps
AS_TIFF = {"CMYK", "LAB", "I", "F", "I;16B"}
CONVERTED = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA", "YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB"}  # no file keeps these
PROFILE_OF = {"1": b"GRAY", "L": b"GRAY", "LA": b"GRAY", "I;16": b"GRAY", "CMYK": b"CMYK", "LAB": b"Lab "}  # others: RGB


def file_behind(image: Image.Image) -> bytes | None:
    """The bytes of the file that a PIL image shows; None if it was changed or converted since, or its file is out of reach.

    Only the file itself leads to the very pixels of its path: large JPEGs are decoded at a reduced size.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.tell() != 0:  # another picture of several was chosen
        return None
    is_loaded = getattr(image, "_im", image) is not None
    data = _reachable_bytes(image, is_loaded=is_loaded)
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as again:
            if is_loaded:
                again.load()
            same = _described(again, is_loaded=is_loaded) == _described(image, is_loaded=is_loaded)
            return data if same and (not is_loaded or again.tobytes() == image.tobytes()) else None
    except Exception:  # a damaged file raises anything, and loading the image will say what
        return None


def file_of_pixels(image: Image.Image) -> Callable[[], bytes]:
    """Copies a PIL image; what is returned encodes the copy without loss: pixels, colour profile, transparency, orientation.

    Raises UnreadableImage if it cannot be loaded.
    """
    try:
        copied, orientation = image.copy(), int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception as error:  # a damaged or closed file raises anything
        raise UnreadableImage(f"the PIL image cannot be loaded: {error or type(error).__name__}") from error
    return partial(_encode, copied, image.format or "", orientation)


def netpbm(pixels: np.ndarray) -> bytes:
    """The file of (height, width, 3), (height, width, 1) or (height, width) uint8 pixels in the format that is a plain copy."""
    height, width, *channels = pixels.shape
    return b"P%d\n%d %d\n255\n" % (6 if channels == [3] else 5, width, height) + pixels.tobytes()


def _encode(image: Image.Image, kind: str, orientation: int) -> bytes:
    image = image.convert(CONVERTED[image.mode]) if image.mode in CONVERTED else image
    profile = image.info.get("icc_profile")
    if profile and profile[16:20] != PROFILE_OF.get(image.mode, b"RGB "):
        profile = None  # of the mode that the image had before it was converted
    if image.mode in ("L", "RGB") and not profile and orientation == 1 and "transparency" not in image.info:
        return netpbm(np.asarray(image))
    is_16_bit = image.mode == "I" and kind in ("PNG", "PPM")
    if image.mode not in AS_PNG | AS_TIFF:
        raise UnreadableImage(f"a PIL image of mode {image.mode}: convert it to RGB", "type")
    options: dict[str, Any] = {"icc_profile": profile}
    if orientation != 1:
        options["exif"] = Image.Exif()
        options["exif"][EXIF_ORIENTATION] = orientation
    file = io.BytesIO()
    if image.mode in AS_PNG or is_16_bit:
        image.save(file, "PNG", compress_level=1, **options)
    else:
        image.save(file, "TIFF", **options)
    return file.getvalue()


def _reachable_bytes(image: ImageFile.ImageFile, *, is_loaded: bool) -> bytes | None:
    if image.filename:
        try:
            return read_bytes(Path(os.fsdecode(image.filename)))
        except UnreadableImage:  # it was moved or removed, but the image may have been loaded before
            return None
    if is_loaded or image.fp is None:  # PIL lets go of an open file when it has loaded it
        return None
    try:
        place = image.fp.tell()
        image.fp.seek(0)
        data: bytes = image.fp.read()
        image.fp.seek(place)
    except (OSError, ValueError):  # closed
        return None
    return data


def _described(image: Image.Image, *, is_loaded: bool) -> tuple[object, ...]:
    """What PIL says of an image; of one that is not loaded, without what would load it."""
    said = (image.format, image.mode, image.size, image.info.get("icc_profile"))
    return (*said, image.info.get("transparency"), image.getexif().get(EXIF_ORIENTATION)) if is_loaded else said
