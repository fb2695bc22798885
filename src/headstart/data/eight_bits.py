"""What the samples of a loaded image mean, as 8-bit RGB in sRGB."""

import numpy as np
from PIL import Image

from headstart.data.colour import to_srgb
from headstart.data.tiff_pages import Page, Tag
from headstart.data.unreadable import UnreadableImage


def as_meant(image: Image.Image, kind: str, page: Page | None = None) -> Image.Image:
    """A loaded image without what its format makes writers get wrong.

    Alpha that is 0 everywhere in a BMP, or in a TIFF that does not name its fourth band, is an unused byte. Palettes of TIFFs
    have 16 bits; one whose numbers all are below 256 was written with 8.
    """
    alpha_is_named = kind != "BMP" and (page is None or bool(page.numbers(Tag.EXTRA_BANDS)))
    if image.mode == "RGBA" and not alpha_is_named and not image.getchannel("A").getbbox():
        return image.convert("RGB")
    if image.mode == "P" and page is not None and max(page.numbers(Tag.PALETTE), default=256) < 256:
        levels = np.array(page.numbers(Tag.PALETTE), np.uint8)
        image.putpalette(levels.reshape(3, -1).T.tobytes())
    return image


def to_rgb(image: Image.Image, kind: str, profile: bytes | None = None) -> Image.Image:
    """8-bit RGB of a loaded image: alpha on white, 16 bits divided by 257. Raises UnreadableImage for other depths.

    `kind` is the file's format: mode "I" holds 16-bit values in PNG and PPM, 32-bit ones in TIFF. With a `profile` its colours
    are converted to sRGB before they meet the white.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.mode == "I":
        raise UnreadableImage("32-bit integer pixels: their range is unknown; save the image with 8 or 16 bits", "type")
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels: their range is unknown; save the image with 8 or 16 bits", "type")
    if profile:
        image = to_srgb(_in_bands(image), profile)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_bands(image: Image.Image) -> Image.Image:
    """The image with a band for each colour and for transparency, as profiles describe colours."""
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        return image.convert("LA" if image.mode == "L" else "RGBA")
    return image.convert("RGB") if image.mode in ("P", "YCbCr") else image
