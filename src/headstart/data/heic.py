"""HEIC photographs, read with pillow-heif where the extra `heic` is installed."""

import io
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from PIL import Image

from headstart.data.unreadable import UnreadableImage


def open_heic(data: bytes) -> Image.Image:
    """The photograph in a HEIC file, opened but not decoded yet.

    libheif turns it upright as its container says, and pillow-heif then sets the Exif orientation to 1: nothing is left to
    turn. Raises UnreadableImage if pillow-heif is not installed.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UnreadableImage(
            "a HEIC photograph: reading it needs pillow-heif (pip install 'headstart[heic]'), or save it as JPEG", "type"
        ) from error
    return HeifImageFile(io.BytesIO(data))


@cache
def heic_version() -> str:
    """The version of pillow-heif, which holds libheif; "" if it is not installed."""
    try:
        return version("pillow-heif")
    except PackageNotFoundError:
        return ""
