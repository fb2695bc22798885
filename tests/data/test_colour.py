"""Colours of other spaces come out as sRGB; those that are sRGB stay as they are, to the last bit."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.data.colour import DISPLAY_P3, MAX_PROFILE_BYTES
from headstart.data.icc import SRGB_CHROMATICITIES, Chromaticities, profile_from
from headstart.data.images import decode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ADOBE_RGB = profile_from(256 / 563, Chromaticities((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))) or b""
P3 = profile_from(None, DISPLAY_P3) or b""
LINEAR_GREY = profile_from(1.0, SRGB_CHROMATICITIES, is_grey=True) or b""
SKIN = (200, 120, 90)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(60, 200, (6, 8, 3), dtype=np.uint8)).resize((64, 48))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(data: bytes, **options: int) -> tuple[int, ...]:
    return decode(data, **options).rgb.getpixel((0, 0))


def plain(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (16, 16), colour)


def linear(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


# From linear Display P3 and from linear Adobe RGB to linear sRGB, all under D65 (CSS Color 4, section 17).
FROM_P3 = np.array([[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]])
FROM_ADOBE = np.array([[1.3984, -0.3984, 0], [0, 1, 0], [0, -0.0429, 1.0429]])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
def test_wide_colours(space: str, kind: str) -> None:
    """A photograph in Display P3 or Adobe RGB has the colours that the standards' own arithmetic gives, in every format."""
    levels = np.array(SKIN) / 255
    wanted = encoded(FROM_P3 @ linear(levels)) if space == "Display P3" else encoded(FROM_ADOBE @ levels ** (563 / 256))
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encode(plain(SKIN), kind, icc_profile=P3 if space == "Display P3" else ADOBE_RGB, **lossless)
    assert np.abs(np.array(pixel(data)) - wanted).max() <= (3 if kind in ("JPEG", "AVIF") else 1)
    assert np.abs(np.array(pixel(data, decoding=1)) - SKIN).max() <= 3, "models that were made before see them unconverted"


def test_reduced_decoding_converts_too() -> None:
    """A JPEG that is decoded at a quarter of its size has the same colours."""
    data = encode(plain(SKIN).resize((640, 480)), "JPEG", icc_profile=ADOBE_RGB, quality=100)
    reduced = decode(data, shorter_side_px=100)
    assert reduced.rgb.size == (160, 120)
    assert np.abs(np.subtract(reduced.rgb.getpixel((9, 9)), pixel(data))).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(SRGB, id="sRGB"),
        pytest.param(SRGB + bytes(1000), id="sRGB, filled up"),
        pytest.param(profile_from(0.457, SRGB_CHROMATICITIES), id="of a camera, almost sRGB"),
        pytest.param(b"", id="none"),
        pytest.param(b"damaged" * 50, id="damaged"),
        pytest.param(ADOBE_RGB[:200], id="cut off"),
        pytest.param(LINEAR_GREY, id="of grey"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), id="of L*a*b*"),
        pytest.param(ADOBE_RGB + bytes(MAX_PROFILE_BYTES), id="too large"),
    ],
)
def test_colours_that_stay(profile: bytes, kind: str) -> None:
    """A profile of sRGB, a damaged one and one for other pixels change nothing, not even by rounding."""
    assert profile is not None
    data = encode(PICTURE, kind, icc_profile=profile)
    assert decode(data).rgb.tobytes() == decode(data, decoding=1).rgb.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles(mode: str) -> None:
    """Grey levels with a profile of their own are converted as grey; with one of colours they stay as they are."""
    image = Image.fromarray(np.full((8, 8), 50 * 257, np.uint16)) if mode == "I;16" else plain((50, 255)[: len(mode)], mode)
    wanted = round(float(encoded(np.array(50 / 255))))
    assert pixel(encode(image, icc_profile=LINEAR_GREY)) == (wanted, wanted, wanted)
    assert pixel(encode(image, icc_profile=ADOBE_RGB)) == (50, 50, 50)


def test_transparency_is_met_after_the_colours() -> None:
    """Colours are converted first and then laid on white: white stays white, and alpha stays as it is."""
    half = plain((*SKIN, 128), "RGBA")
    wanted = [level * 128 / 255 + 127 for level in pixel(encode(plain(SKIN), icc_profile=ADOBE_RGB))]
    assert np.abs(np.subtract(pixel(encode(half, icc_profile=ADOBE_RGB)), wanted)).max() <= 1
    assert pixel(encode(plain((*SKIN, 0), "RGBA"), icc_profile=ADOBE_RGB)) == (255, 255, 255)


def test_palettes() -> None:
    """A palette's colours are converted too, and its transparent entry stays transparent."""
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *SKIN])
    assert pixel(encode(image, icc_profile=ADOBE_RGB)) == pixel(encode(plain(SKIN), icc_profile=ADOBE_RGB))
    assert pixel(encode(image, icc_profile=ADOBE_RGB, transparency=1)) == (255, 255, 255)


def cmyk_profile() -> bytes:
    """A profile of inks that are twice as dark as their numbers: a table from CMYK to L*a*b* (ICC.1:2001-04, lut8Type)."""
    grid = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij")).reshape(4, -1)
    lightness = np.where(grid.sum(axis=0) == 0, 255, 0).astype(np.uint8)
    table = np.stack([lightness, np.full(16, 128, np.uint8), np.full(16, 128, np.uint8)], axis=1).tobytes()
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * v for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut += ramp * 4 + table + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    at = 128 + 4 + 24
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", at, len(lut), b"wtpt", at + len(lut) + len(lut) % 4, len(white))
    body = tags + lut + bytes(len(lut) % 4) + white
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12)
    return header + b"acsp" + bytes(28) + white[8:] + bytes(48) + body


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks(kind: str) -> None:
    """CMYK with the profile of its printer has that printer's colours; paper is white. Without one it stays as it was."""
    profile = cmyk_profile()
    paper, ink = Image.new("CMYK", (16, 16)), Image.new("CMYK", (16, 16), (0, 0, 0, 128))
    assert min(pixel(encode(paper, kind, icc_profile=profile))) >= 250
    with_profile, without = pixel(encode(ink, kind, icc_profile=profile)), pixel(encode(ink, kind))
    assert np.ptp(with_profile) <= 3 and with_profile[0] < without[0] - 5
    assert pixel(encode(ink, kind, icc_profile=profile), decoding=1) == without


def png_with(image: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    data = encode(image)
    at = data.index(b"IDAT") - 4
    made = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks]
    return data[:at] + b"".join(made) + data[at:]


def gamma(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


SRGB_POINTS = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
P3_POINTS = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))


def test_gamma_of_a_png() -> None:
    """A PNG that states a gamma or primaries of its own in place of a profile is converted by these."""
    levels = np.array(SKIN) / 255
    for chunks, wanted in (
        ([gamma(100_000)], encoded(levels)),
        ([P3_POINTS], encoded(FROM_P3 @ linear(levels))),
        ([gamma(45_455), P3_POINTS], encoded(FROM_P3 @ levels**2.2)),
    ):
        data = png_with(plain(SKIN), *chunks)
        assert np.abs(np.array(pixel(data)) - wanted).max() <= 1
        assert pixel(data, decoding=1) == SKIN
    assert abs(pixel(png_with(plain((50,), "L"), gamma(100_000), P3_POINTS))[0] - encoded(np.array(50 / 255))) <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma(45_455)],
        [gamma(45_455), SRGB_POINTS],
        [SRGB_POINTS],
        [gamma(0)],
        [gamma(1)],
        [gamma(2**31 - 1)],
        [(b"cHRM", bytes(32))],
        [(b"cHRM", struct.pack(">8I", *[33_000] * 8))],
        [(b"sRGB", b"\0"), gamma(100_000), P3_POINTS],
        [(b"iCCP", b"sRGB\0\0" + zlib.compress(SRGB)), gamma(100_000)],
    ],
    ids=[
        "usual gamma",
        "sRGB",
        "primaries of sRGB",
        "0",
        "tiny",
        "huge",
        "no primaries",
        "one primary",
        "sRGB first",
        "profile first",
    ],
)
def test_gamma_that_changes_nothing(chunks: list[tuple[bytes, bytes]]) -> None:
    """What says sRGB, what makes no sense, and what a better statement stands beside, leaves every bit as it is."""
    assert decode(png_with(PICTURE, *chunks)).rgb.tobytes() == PICTURE.tobytes()


def test_threads_share_profiles() -> None:
    """Many threads that meet profiles for the first time, and more profiles than are kept, give the colours of one thread."""
    profiles = [profile_from(1 / (1 + i / 50), DISPLAY_P3) or b"" for i in range(90)]
    files = [encode(PICTURE, icc_profile=profile) for profile in profiles]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: decode(data).rgb.tobytes(), files * 3))
    assert found == [decode(data).rgb.tobytes() for data in files] * 3
    assert len(set(found)) > 80
