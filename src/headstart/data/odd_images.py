"""Generated images that image libraries often read differently: an exported model must answer as the original does."""

import io

import numpy as np
from PIL import Image

SIDE_PX = 160


def odd_images() -> dict[str, bytes]:
    """What is odd about each image -> the bytes of its file; the same on every call."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(SIDE_PX // 8, axis=0).repeat(SIDE_PX // 8, axis=1)
    colour = Image.fromarray(cells)
    with_alpha = colour.copy()
    with_alpha.putalpha(Image.fromarray(np.linspace(0, 255, SIDE_PX, dtype=np.uint8)[None].repeat(SIDE_PX, axis=0)))
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: turn by 90 degrees
    deep = (cells[..., 0].astype(np.uint16) << 8) + 7
    return {
        "1 x 1": _encoded(Image.new("RGB", (1, 1), (200, 30, 90)), "PNG"),
        "3000 x 40": _encoded(colour.resize((3000, 40)), "JPEG"),
        "grey": _encoded(colour.convert("L"), "PNG"),
        "alpha": _encoded(with_alpha, "PNG"),
        "CMYK": _encoded(colour.convert("CMYK"), "JPEG"),
        "EXIF-rotated": _encoded(colour.crop((0, 0, SIDE_PX, SIDE_PX // 2)), "JPEG", exif=turned.tobytes()),
        "16-bit": _encoded(Image.fromarray(deep), "PNG"),
    }


def _encoded(image: Image.Image, format: str, **options: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
