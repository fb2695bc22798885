"""A browser shows the pixels that headstart decodes: the file itself where it can, else one written anew."""

import base64
import io
import shutil
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms
from playwright.sync_api import Page, sync_playwright

from headstart.data import browser_images
from headstart.data.browser_images import browser_image
from headstart.data.colour import DISPLAY_P3
from headstart.data.icc import profile_from
from headstart.data.images import EXIF_ORIENTATION, UnreadableImage, decode
from headstart.data.odd_images import odd_images

CELLS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(CELLS).resize((64, 48))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = profile_from(None, DISPLAY_P3) or b""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The pixels of an image file as the browser shows it, (height, width, 4).
PIXELS = """async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const drawn = canvas.getContext("2d");
    drawn.drawImage(image, 0, 0);
    return [canvas.height, canvas.width, Array.from(drawn.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    chunk = len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]


AS_IT_IS = {
    "JPEG": encode(PICTURE, "JPEG"),
    "grey JPEG": encode(PICTURE.convert("L"), "JPEG"),
    "progressive JPEG": encode(PICTURE, "JPEG", progressive=True),
    "JPEG in sRGB": encode(PICTURE, "JPEG", icc_profile=SRGB),
    "JPEG that says it is upright": encode(PICTURE, "JPEG", exif=turned(1)),
    "PNG": encode(PICTURE, "PNG"),
    "grey PNG": encode(PICTURE.convert("L"), "PNG"),
    "palette": encode(PICTURE.quantize(16), "PNG"),
    "black and white": encode(PICTURE.convert("1"), "PNG"),
    "WebP": encode(PICTURE, "WEBP"),
}
WRITTEN_ANEW = {
    "turned JPEG": encode(PICTURE, "JPEG", exif=turned(6)),
    "mirrored PNG": encode(PICTURE, "PNG", exif=turned(2)),
    "turned WebP": encode(PICTURE, "WEBP", exif=turned(8)),
    "orientation that there is not": encode(PICTURE, "JPEG", exif=turned(9)),
    "Display P3": encode(PICTURE, "JPEG", icc_profile=P3),
    "grey with a profile": encode(PICTURE.convert("L"), "JPEG", icc_profile=profile_from(1.0, DISPLAY_P3, is_grey=True)),
    "CMYK": encode(PICTURE.convert("CMYK"), "JPEG"),
    "transparent": encode(Image.merge("RGBA", [*PICTURE.split(), PICTURE.getchannel(0)]), "PNG"),
    "transparent WebP": encode(Image.merge("RGBA", [*PICTURE.split(), PICTURE.getchannel(0)]), "WEBP", lossless=True),
    "transparent palette": encode(PICTURE.quantize(16), "PNG", transparency=3),
    "transparent colour": encode(PICTURE, "PNG", transparency=tuple(CELLS[0, 0].tolist())),
    "gamma": with_chunk(encode(PICTURE, "PNG"), b"gAMA", (100_000).to_bytes(4, "big")),
    "coding-independent colours": with_chunk(encode(PICTURE, "PNG"), b"cICP", bytes([12, 13, 0, 1])),
    "16 bits": odd_images()["16-bit"],
    "BMP": encode(PICTURE, "BMP"),
    "TIFF": encode(PICTURE, "TIFF"),
    "PPM": encode(PICTURE, "PPM"),
    "AVIF": encode(PICTURE, "AVIF"),
    "MPO": encode(PICTURE, "MPO", save_all=True, append_images=[PICTURE]),
}


@pytest.mark.parametrize("name", AS_IT_IS)
def test_what_browsers_show_stays_as_it_is(name: str) -> None:
    """A file whose pixels need no metadata is given to the browser to the last byte."""
    shown = browser_image(AS_IT_IS[name])
    assert shown.content == AS_IT_IS[name]
    assert shown.media_type == {"\xff": "image/jpeg", "\x89": "image/png", "R": "image/webp"}[chr(shown.content[0])]


@pytest.mark.parametrize("name", WRITTEN_ANEW)
def test_what_browsers_may_show_otherwise_is_written_anew(name: str) -> None:
    """The new file has the pixels that headstart decodes, and no metadata that could change them."""
    shown = browser_image(WRITTEN_ANEW[name])
    assert shown.content != WRITTEN_ANEW[name]
    wanted, plain = decode(WRITTEN_ANEW[name]).rgb, Image.open(io.BytesIO(shown.content))
    assert (plain.format, plain.mode, plain.size) == (shown.media_type.removeprefix("image/").upper(), "RGB", wanted.size)
    assert not {"icc_profile", "exif", "transparency"} & set(plain.info)
    apart = np.abs(np.asarray(plain).astype(int) - np.asarray(wanted)).mean()
    assert apart == 0 if plain.format == "PNG" else apart < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(300, 200), (3000, 2), (2, 3000)])
def test_large_ones_are_made_smaller(kind: str, size: tuple[int, int]) -> None:
    """The longer side is at most what was asked for; a smaller picture is not enlarged."""
    shown = Image.open(io.BytesIO(browser_image(encode(PICTURE.resize(size), kind), 100).content))
    assert max(shown.size) == 100
    assert Image.open(io.BytesIO(browser_image(encode(PICTURE, kind), 100).content)).size == PICTURE.size


def test_many_bytes_are_made_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many bytes a pixel is written anew, however few pixels it has."""
    monkeypatch.setattr(browser_images, "MAX_BYTES_AS_IS", 1000)
    monkeypatch.setattr(browser_images, "MAX_LOSSLESS_PIXELS", 1000)
    noise = encode(PICTURE, "PNG", compress_level=0)
    assert len(browser_image(noise).content) < len(noise) // 3


@pytest.mark.parametrize("data", [b"", b"text", AS_IT_IS["JPEG"][:300], b"GIF89a", AS_IT_IS["PNG"][:-60]])
def test_what_cannot_be_read(data: bytes) -> None:
    """What headstart cannot read is not given to a browser, which would show a part of it."""
    with pytest.raises(UnreadableImage):
        browser_image(data)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """An empty page in headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium.new_page()
        chromium.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")
def test_chromium_shows_what_headstart_decodes(browser: Page) -> None:
    """Of every kind of file, a real browser shows the pixels that go into the network."""
    apart = {}
    for name, data in (AS_IT_IS | WRITTEN_ANEW | odd_images()).items():
        shown = browser_image(data)
        address = f"data:{shown.media_type};base64,{base64.b64encode(shown.content).decode()}"
        height, width, pixels = browser.evaluate(PIXELS, address)
        wanted = np.asarray(decode(data).rgb).astype(int)
        if wanted.shape[1] > browser_images.LONGER_SIDE_PX:
            continue
        assert wanted.shape == (height, width, 3), name
        apart[name] = float(np.abs(np.array(pixels).reshape(height, width, 4)[..., :3] - wanted).mean())
    assert {name: mean for name, mean in apart.items() if mean > 6} == {}
    assert {name for name, mean in apart.items() if name in AS_IT_IS and mean > 1} == set()
