"""A picture as a browser can show it, with the pixels that headstart decodes."""

from dataclasses import dataclass

from headstart.data.encoding import encode_losslessly, encode_thumbnail
from headstart.data.images import decode

LONGER_SIDE_PX = 2048
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}  # of the formats that every browser shows
MAX_BYTES_AS_IS = 4 << 20
QUALITY = 92
MAX_LOSSLESS_PIXELS = 512 * 512  # drawings and small pictures, which are shown enlarged: JPEG's blocks would be seen
PNG_COLOURS = b"cICP"  # a chunk that browsers follow and Pillow does not read (PNG, third edition)


@dataclass(frozen=True, slots=True)
class BrowserImage:
    """A file for a browser."""

    content: bytes
    media_type: str


def browser_image(data: bytes, longer_side_px: int = LONGER_SIDE_PX, channels: str = "") -> BrowserImage:
    """The picture in the bytes of a file, its longer side at most `longer_side_px`, as a JPEG, PNG or WebP file.

    The bytes themselves where browsers show what `decode` gives; written anew where the picture is large, turned by its
    metadata, partly transparent, in colours other than sRGB, in a format that browsers lack, or chosen of a stack by
    `channels`. Raises UnreadableImage.
    """
    # A JPEG of four times as many pixels is decoded at half its size.
    decoded = decode(data, shorter_side_px=longer_side_px, channels=channels)
    media_type = MEDIA_TYPES.get(decoded.format)
    fits = max(decoded.width, decoded.height) <= longer_side_px
    is_as_decoded = decoded.is_plain and not _has_colours_for_browsers(data, decoded.format)
    if media_type and fits and is_as_decoded and len(data) <= MAX_BYTES_AS_IS:
        return BrowserImage(data, media_type)
    if fits and decoded.format != "JPEG" and decoded.width * decoded.height <= MAX_LOSSLESS_PIXELS:
        return BrowserImage(encode_losslessly(decoded.rgb), MEDIA_TYPES["PNG"])
    return BrowserImage(encode_thumbnail(decoded.rgb, longer_side_px, QUALITY), MEDIA_TYPES["JPEG"])


def _has_colours_for_browsers(data: bytes, kind: str) -> bool:
    return kind == "PNG" and PNG_COLOURS in data[: data.find(b"IDAT")]
