"""Image files that browsers and Pillow might read differently: what a page answers as headstart does, and what it refuses."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from headstart.data.icc import SRGB_CHROMATICITIES, Chromaticities, profile_from

ADOBE = profile_from(1 / 2.2, Chromaticities((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)))
P3 = profile_from(None, Chromaticities((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)))
GREY = profile_from(1 / 1.8, SRGB_CHROMATICITIES, is_grey=True)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photo(width: int, height: int) -> Image.Image:
    """Waves of colour with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [100 * np.sin(x / 37 + y / 91), 90 * np.cos(x / 53 - y / 29), 100 * np.sin(x * y / 9000)]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return Image.fromarray((127 + np.stack(waves, axis=-1) + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """EXIF that says how the picture is turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def translucent() -> Image.Image:
    """A photo that fades out to the left."""
    image = photo(200, 150)
    image.putalpha(Image.fromarray(np.linspace(0, 255, 200, dtype=np.uint8)[None].repeat(150, axis=0)))
    return image


def answered() -> Iterator[tuple[str, bytes]]:
    """Files that a page answers as headstart does."""
    small, large, alpha = photo(200, 150), photo(431, 517), translucent()
    grey = small.convert("L")
    for quality in (10, 95):
        yield f"JPEG, quality {quality}", encoded(small, "JPEG", quality=quality)
    for subsampling in (0, 1, 2):
        yield f"JPEG, chroma {subsampling}", encoded(large, "JPEG", subsampling=subsampling, quality=92)
    yield "progressive JPEG", encoded(large, "JPEG", progressive=True)
    for orientation in range(2, 9):
        yield f"JPEG, turned {orientation}", encoded(large if orientation % 2 else small, "JPEG", exif=turned(orientation))
    yield "grey JPEG", encoded(large.convert("L"), "JPEG")
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    whole = encoded(small, "JPEG")
    yield "JPEG, turned by XMP", whole[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + whole[2:]
    for name, profile in (("Adobe RGB", ADOBE), ("Display P3", P3), ("sRGB", SRGB), ("damaged", b"x" * 500), ("grey", GREY)):
        yield f"JPEG, {name} profile", encoded(small, "JPEG", icc_profile=profile)
        yield f"PNG, {name} profile", encoded(small, "PNG", icc_profile=profile)
    yield "grey JPEG, grey profile", encoded(grey, "JPEG", icc_profile=GREY)
    yield "grey PNG, grey profile", encoded(grey, "PNG", icc_profile=GREY)
    yield "grey PNG, Adobe RGB profile", encoded(grey, "PNG", icc_profile=ADOBE)
    yield "PNG", encoded(small, "PNG")
    yield "PNG with a palette", encoded(small.quantize(200), "PNG")
    yield "PNG of one bit", encoded(small.convert("1"), "PNG")
    yield "PNG with alpha", encoded(alpha, "PNG")
    yield "grey PNG with alpha", encoded(alpha.convert("LA"), "PNG")
    yield "grey PNG, one level transparent", encoded(grey, "PNG", transparency=130)
    yield "PNG, one colour of the palette transparent", encoded(small.quantize(50), "PNG", transparency=3)
    yield "PNG, turned", encoded(small, "PNG", exif=turned(6))
    yield "WebP", encoded(small, "WEBP")
    yield "WebP, turned", encoded(small, "WEBP", exif=turned(8))
    yield "WebP with alpha", encoded(alpha, "WEBP", lossless=True)
    yield "WebP with a profile", encoded(small, "WEBP", icc_profile=ADOBE)
    yield "BMP", encoded(small, "BMP")
    yield "BMP with a palette", encoded(small.quantize(60), "BMP")
    for size in ((1, 1), (2, 3), (40, 30), (300, 10), (10, 300), (150, 500), (61, 700)):
        yield f"PNG of {size[0]} x {size[1]}", encoded(photo(*size), "PNG")
        yield f"JPEG of {size[0]} x {size[1]}", encoded(photo(*size), "JPEG")


def refused() -> Iterator[tuple[str, bytes, str]]:
    """Files that a page refuses, and a word of the reason."""
    small = photo(64, 48)
    deep = (np.asarray(small.convert("L")).astype(np.uint16) << 8) + 7
    more = {"save_all": True, "append_images": [photo(64, 48).rotate(90)]}
    yield "CMYK", encoded(small.convert("CMYK"), "JPEG"), "CMYK"
    yield "16 bits", encoded(Image.fromarray(deep), "PNG"), "16 bits"
    yield "TIFF", encoded(small, "TIFF"), "TIFF"
    yield "GIF", encoded(small.quantize(50), "GIF"), "GIF"
    yield "AVIF", encoded(small, "AVIF"), "AVIF"
    yield "PPM", encoded(small, "PPM"), "PPM"
    yield "BMP with alpha", encoded(translucent(), "BMP"), "BMP"
    yield "animated PNG", encoded(small, "PNG", **more), "animation"
    yield "animated WebP", encoded(small, "WEBP", **more), "animation"
    for format in ("JPEG", "PNG", "WEBP", "BMP"):
        yield f"half a {format}", encoded(small, format)[: len(encoded(small, format)) // 2], "cut off"
    yield "a JPEG's first bytes", encoded(small, "JPEG")[:30], "damaged"
    yield "a lossless JPEG", encoded(small, "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), "lossless"
    yield "PNG with a gamma", _with_gamma(encoded(small, "PNG"), 1.0), "gamma"
    yield "printer's profile", encoded(small, "JPEG", icc_profile=_with_table(ADOBE)), "table"
    yield "alpha in other colours", encoded(translucent(), "PNG", icc_profile=ADOBE), "transparent"
    yield "text", b"no image at all", "not an image"
    yield "nothing", b"", "empty"


def _with_gamma(png: bytes, gamma: float) -> bytes:
    import struct
    import zlib

    body = b"gAMA" + struct.pack(">I", round(gamma * 100000))
    return png[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def _with_table(profile: bytes | None) -> bytes:
    """A profile that names a table beside its curves."""
    assert profile is not None
    return profile.replace(b"wtpt", b"A2B0", 1)
