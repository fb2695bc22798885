"""HEIC photographs: read with the extra, told what to install without it."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from headstart.data.colour import DISPLAY_P3
from headstart.data.icc import profile_from
from headstart.data.images import EXIF_ORIENTATION, UPRIGHT, decode, pixels_version
from headstart.data.unreadable import UnreadableImage

pillow_heif = pytest.importorskip("pillow_heif")


def quadrants() -> Image.Image:
    image = Image.new("RGB", (64, 48), "white")
    image.paste((255, 0, 0), (0, 0, 32, 24))
    image.paste((0, 0, 255), (0, 24, 32, 48))
    return image


def heic(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=100, chroma=444, **options)
    return buffer.getvalue()


def test_a_photograph() -> None:
    """A HEIC has its pixels up to its loss, whatever its name, and with an earlier decoding too: that never read one."""
    for decoding in (1, 2):
        decoded = decode(heic(quadrants()), decoding=decoding)
        assert (decoded.format, decoded.width, decoded.height) == ("HEIF", 64, 48)
        assert np.abs(np.asarray(decoded.rgb, int) - np.asarray(quadrants(), int)).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_once(orientation: int) -> None:
    """A photograph that its container turns and its Exif too, as phones write it, is turned once."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = heic(quadrants(), exif=exif.tobytes())
    assert orientation == 1 or b"irot" in data or b"imir" in data
    upright = quadrants().transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else quadrants()
    decoded = decode(data)
    assert (decoded.width, decoded.height) == decoded.rgb.size == upright.size
    assert np.abs(np.asarray(decoded.rgb, int) - np.asarray(upright, int)).mean() < 4


def test_its_profile_counts() -> None:
    """A HEIC in Display P3, as phones write it, comes out in sRGB."""
    red = Image.new("RGB", (64, 48), (200, 120, 90))
    plain, wide = heic(red), heic(red, icc_profile=profile_from(None, DISPLAY_P3), icc_profile_type="prof")
    before, after = (np.array(decode(data).rgb.getpixel((9, 9)), int) for data in (plain, wide))
    assert after[0] - before[0] >= 5


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pillow-heif is missing, the reason names the extra, and another way out."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brand in (b"heic", b"heix", b"mif1", b"msf1"):
        data = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + b"mif1heic" + b"\0\0\0\x08mdat"
        with pytest.raises(UnreadableImage) as caught:
            decode(data)
        assert "pip install 'headstart[heic]'" in caught.value.reason and "save it as JPEG" in caught.value.reason


def test_damaged() -> None:
    """A HEIC that was copied in part only is damaged."""
    data = heic(quadrants())
    for kept in (0.1, 0.5, 0.9):
        with pytest.raises(UnreadableImage, match="damaged"):
            decode(data[: int(len(data) * kept)])


def test_the_store_knows_who_read_it() -> None:
    """Facts that were stored without the extra are not used with it, and the other way round."""
    assert pixels_version().endswith(f"-heic{pillow_heif.__version__}")
    assert set(UPRIGHT) == set(range(2, 9))
