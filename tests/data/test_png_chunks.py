"""PNG files with much text or a large profile: whole images, which must not become a way to fill the memory either."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from headstart.data.images import EXIF_ORIENTATION, decode
from headstart.data.unreadable import UnreadableImage

PICTURE = Image.fromarray(np.add.outer(np.arange(40) * 5, np.arange(60) * 3).astype(np.uint8)).convert("RGB")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GIB = 1 << 30


def png(*chunks: tuple[bytes, bytes], after: bool = False) -> bytes:
    """PICTURE with these chunks before its pixels, or after them."""
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG")
    data, place = buffer.getvalue(), b"IEND" if after else b"IDAT"
    at = data.index(place) - 4
    made = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return data[:at] + made + data[at:]


def zeros(n_bytes: int) -> bytes:
    """So many zeros, compressed, made without having them all in memory."""
    packer, out = zlib.compressobj(9), []
    for _ in range(n_bytes >> 20):
        out.append(packer.compress(bytes(1 << 20)))
    return b"".join(out) + packer.flush()


BOMB = zeros(GIB // 4)
LONG = zlib.compress(b"x" * 1_500_000)
TEXTS = {
    "zTXt": (b"zTXt", b"workflow\0\0" + LONG),
    "iTXt": (b"iTXt", b"workflow\0\1\0en\0workflow\0" + LONG),
    "tEXt": (b"tEXt", b"workflow\0" + b"x" * 3_000_000),
    "iCCP": (b"iCCP", b"icc\0\0" + zlib.compress(SRGB + bytes(1_500_000))),
    "zTXt bomb": (b"zTXt", b"workflow\0\0" + BOMB),
    "iTXt bomb": (b"iTXt", b"workflow\0\1\0\0\0" + BOMB),
    "iCCP bomb": (b"iCCP", b"icc\0\0" + BOMB),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("decoding", [1, 2])
def test_much_text(name: str, after: bool, decoding: int) -> None:
    """The image is read as every viewer shows it, and no text or profile is unpacked beyond a few megabytes."""
    data = png(TEXTS[name], after=after and name != "iCCP")
    tracemalloc.start()
    found = decode(data, decoding=decoding).rgb
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (np.asarray(found) == np.asarray(PICTURE)).all()
    assert most < 40 << 20


def test_many_texts() -> None:
    """A hundred texts of a megabyte each, packed into a few kilobytes, cost neither the image nor the memory."""
    data = png(*[(b"zTXt", b"t\0\0" + zlib.compress(bytes((1 << 20) - 1)))] * 100)
    assert (np.asarray(decode(data).rgb) == np.asarray(PICTURE)).all()


def test_what_is_beside_the_text_stays() -> None:
    """The orientation and the profile of a PNG count, however long its text is."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 1_500_000, zip=True)
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=info, exif=exif, icc_profile=SRGB)
    decoded = decode(buffer.getvalue())
    assert (decoded.width, decoded.height) == (40, 60)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_that_is_cut_off(kept: float) -> None:
    """Much text does not make a damaged image whole."""
    data = png(TEXTS["zTXt"])
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(data[: int(len(data) * kept)])
