"""RGB images as the bytes of image files."""

import io

from PIL import Image


def encode_thumbnail(image: Image.Image, longer_side_px: int, quality: int = 80) -> bytes:
    """The whole of an RGB image, made smaller where it is larger, as a JPEG file. WebP takes ten times as long to write."""
    small = image
    if max(image.size) > longer_side_px:
        small = image.copy()
        small.thumbnail((longer_side_px, longer_side_px), reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=quality, comment=None)  # Pillow would copy that of the file, of up to 64 KB
    return file.getvalue()


def encode_losslessly(image: Image.Image) -> bytes:
    """An RGB image as a PNG file."""
    file = io.BytesIO()
    # The pixels are sRGB already. Higher levels take many times as long for a tenth less.
    image.save(file, "PNG", icc_profile=None, compress_level=1)
    return file.getvalue()
