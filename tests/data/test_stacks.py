"""Stacks: the planes and channels that were chosen, with the values that tifffile and pydicom give."""

import io
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

tifffile = pytest.importorskip("tifffile")

from headstart.channels import channels_of  # noqa: E402
from headstart.data.images import decode, measured, pixels_version  # noqa: E402
from headstart.data.unreadable import UnreadableImage  # noqa: E402

RNG = np.random.default_rng(0)
ZC = RNG.integers(0, 60000, (4, 3, 20, 30)).astype(np.uint16)  # planes, channels


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def rgb(data: bytes, channels: str) -> np.ndarray:
    return np.asarray(decode(data, channels=channels).rgb)


def as_levels(values: np.ndarray, low: float = 0, high: float = 65535) -> np.ndarray:
    return np.floor(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def grey(data: bytes, channels: str) -> np.ndarray:
    found = rgb(data, channels)
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 0] == found[..., 2]).all()
    return found[..., 0]


def reason_for(data: bytes, channels: str, **limits: int) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data, channels=channels, **limits)
    return caught.value.reason


OME = tiff(ZC, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack")
IMAGEJ = tiff(ZC, imagej=True, metadata={"axes": "ZCYX"})
WHOLE = tiff(ZC, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack", planarconfig="separate")  # channels in a page


@pytest.mark.parametrize("data", [OME, IMAGEJ, WHOLE], ids=["OME-TIFF", "ImageJ", "planes of channels"])
def test_planes_and_channels(data: bytes) -> None:
    """Plane, projection and channels are those of the array that was written; two channels have no blue."""
    assert (tifffile.imread(io.BytesIO(data)) == ZC).all()
    assert (grey(data, "z=2+c=1") == as_levels(ZC[2, 1])).all()
    assert (grey(data, "z=max+c=1") == as_levels(ZC[:, 1].max(0))).all()
    assert (grey(data, "z=min+c=1") == as_levels(ZC[:, 1].min(0))).all()
    assert (grey(data, "z=mean+c=0") == as_levels(ZC[:, 0].mean(0))).all()
    assert (grey(data, "z=0+c=max") == as_levels(ZC[0].max(0))).all()
    assert (rgb(data, "z=1+c=0,2,1") == as_levels(ZC[1, [0, 2, 1]].transpose(1, 2, 0))).all()
    two = rgb(data, "z=max+c=2,2")
    assert (two[..., 0] == as_levels(ZC[:, 2].max(0))).all() and (two[..., 0] == two[..., 1]).all() and not two[..., 2].any()
    levels = rgb(data, "z=0+c=0,1,2+levels=10..50000,0..100,30000..30001")
    pairs = ((10, 50000), (0, 100), (30000, 30001))
    assert all((levels[..., i] == as_levels(ZC[0, i], *pairs[i])).all() for i in range(3))
    (values,) = measured(data, "z=3+c=2")
    assert values.dtype == np.uint16 and (values == ZC[3, 2]).all()
    for channels in ("z=0", "c=0", "levels=0..9", "z=0+c=3", "z=4+c=0", "t=1+z=0+c=0"):
        assert "it has" in reason_for(data, channels)
    assert (grey(data, "t=0+z=0+c=0") == as_levels(ZC[0, 0])).all(), "an axis that is not there has one place"


WRITTEN: tuple[dict[str, Any], ...] = (
    {"ome": True},
    {"ome": True, "bigtiff": True, "byteorder": ">"},
    {"ome": True, "compression": "zlib", "predictor": True},
    {"ome": True, "tile": (16, 16)},
    {"ome": True, "tile": (32, 16), "compression": "zlib"},
    {"ome": True, "rowsperstrip": 3},
    {"imagej": True},
    {},
)
CASES = [
    (axes, options, kind)
    for axes in ("ZCYX", "CZYX", "TZYX", "CYX", "TCYX", "ZYX")
    for options in WRITTEN
    for kind in ("uint8", "uint16", "int16", "uint32", "float32", "float64")
    if not ("imagej" in options and (kind not in ("uint8", "uint16", "float32") or axes == "CZYX"))  # ImageJ has no such files
    if not ("predictor" in options and kind.startswith("float"))  # which tifffile writes only with imagecodecs
]


@pytest.mark.parametrize(("axes", "options", "kind"), CASES, ids=str)
def test_the_values_that_tifffile_gives(axes: str, options: dict[str, Any], kind: str) -> None:
    """Of every kind of file that tifffile writes, each plane and channel has the values that it reads."""
    shape = [2 + i for i in range(len(axes) - 2)]
    pixels = (RNG.random((*shape, 20, 30)) * 60000 - (30000 if kind in ("int16", "float32") else 0)).astype(kind)
    data = tiff(pixels, photometric="minisblack", metadata={"axes": axes}, **options)
    theirs = tifffile.imread(io.BytesIO(data))
    if "ome" not in options and "imagej" not in options:  # its own axes are named in its own way alone
        (page,) = measured(data, f"page={int(np.prod(shape)) - 1}")
        assert page.dtype == theirs.dtype and (page == theirs.reshape(-1, 20, 30)[-1]).all()
        return
    for place in np.ndindex(*shape):
        chosen = "+".join(f"{letter.lower()}={number}" for letter, number in zip(axes, place, strict=False))
        (values,) = measured(data, chosen)
        assert values.dtype == theirs.dtype and (values == theirs[place]).all()
    listed = f"{axes[0].lower()}=1,0,1,0"
    rest = "".join(f"+{letter.lower()}=1" for letter in axes[1:-2])
    expected = theirs[[1, 0, 1, 0]] if len(axes) == 3 else theirs[[1, 0, 1, 0], 1]
    assert (np.array(measured(data, listed + rest)) == expected).all()


def test_pages() -> None:
    """Pages count from 0, and can be projected; without a choice the first is used, as before, and told."""
    pages = ZC[:, 0]
    for options in ({"metadata": None}, {}, {"compression": "zlib", "predictor": True}, {"bigtiff": True, "byteorder": ">"}):
        data = tiff(pages, photometric="minisblack", **options)
        assert (grey(data, "page=3") == as_levels(pages[3])).all()
        assert (grey(data, "page=mean") == as_levels(pages.mean(0))).all()
        assert "it has no page 4: it has 4" in reason_for(data, "page=4")
        assert "it has 4 pages" in reason_for(data, "levels=0..9")
        assert decode(data).pages == 4 and decode(data, channels="page=3").pages == 1
    assert (grey(OME, "page=5") == as_levels(ZC[1, 2])).all(), "a page of a stack is as the file stores it"


@pytest.mark.parametrize("kind", ["float32", "int16", "uint32", "int8", "float64"])
def test_other_numbers(kind: str) -> None:
    """Pixels of a range that is not known need levels, and then have their values."""
    pixels = (RNG.random((20, 30)) * 200 - 100).astype(kind)
    data = tiff(pixels, photometric="minisblack")
    assert "window=1..99" in reason_for(data, "page=0")
    assert (grey(data, "levels=-50..60.5") == as_levels(pixels, -50, 60.5)).all()


def test_eight_bits_and_one() -> None:
    """8 bits stay as they are, and so does black and white; low values may be white."""
    pixels = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
    assert (grey(tiff(pixels), "page=0") == pixels).all()
    assert (grey(tiff(pixels, photometric="miniswhite"), "page=0") == 255 - pixels).all()
    assert (grey(tiff(pixels > 99, photometric="minisblack"), "page=0") == (pixels > 99) * 255).all()
    colour = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    for data in (tiff(colour), tiff(colour.transpose(2, 0, 1), planarconfig="separate", photometric="rgb")):
        assert (rgb(data, "page=0") == colour).all() and (rgb(data, "c=2,1,0") == colour[..., ::-1]).all()
        assert (grey(data, "c=1") == colour[..., 1]).all()


def test_a_palette() -> None:
    """Colours of a palette are looked up."""
    image = Image.fromarray(RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)).quantize(16)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    assert np.abs(rgb(buffer.getvalue(), "page=0").astype(int) - np.asarray(image.convert("RGB"), int)).max() <= 1


def test_many_samples() -> None:
    """Of a pixel of five values some are chosen; none of them is taken for a colour by itself."""
    pixels = RNG.integers(0, 60000, (20, 30, 5)).astype(np.uint16)
    data = tiff(pixels, photometric="minisblack", planarconfig="contig")
    assert (rgb(data, "c=4,0,1") == as_levels(pixels[..., [4, 0, 1]])).all()
    assert "5 channels" in reason_for(data, "page=0") and "no channel c=5" in reason_for(data, "c=5")


def test_orientation() -> None:
    """A page that its tag turns is upright."""
    pixels = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
    data = tiff(pixels, extratags=[(274, "H", 1, 6, True)])
    assert (grey(data, "page=0") == np.asarray(decode(data).rgb)[..., 0]).all()
    assert decode(data, channels="page=0").rgb.size == (20, 30)


def test_other_formats_in_the_same_set() -> None:
    """A photograph is one page of its colours; grey of 16 bits has levels, what has 8 bits has none to choose."""
    colour = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    data = png(Image.fromarray(colour))
    assert (rgb(data, "page=0") == colour).all() and (rgb(data, "z=max+c=2,1,0") == colour[..., ::-1]).all()
    assert "it has no page 1" in reason_for(data, "page=1")
    assert "photograph (PNG)" in reason_for(data, "levels=0..9")
    deep = png(Image.fromarray(ZC[0, 0]))
    assert (grey(deep, "levels=100..5000") == as_levels(ZC[0, 0], 100, 5000)).all()
    assert (grey(deep, "page=0") == as_levels(ZC[0, 0])).all()
    assert reason_for(b"", "page=0") == "the file is empty"
    assert "not an image" in reason_for(b"\0" * 4096, "page=0")


def test_frames_of_a_dicom() -> None:
    """A DICOM of several frames has the one that was chosen; levels are of its rescaled values and replace its window."""
    pytest.importorskip("pydicom")
    from data.dicoms import SAMPLES, dicom

    frames = ZC[:, 1]
    data = dicom(frames, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=20000, WindowWidth=1000)
    assert "4 frames" in reason_for(data, "") and "4 pages" in reason_for(data, "z=0")
    one = dicom(frames[2], RescaleSlope=2, RescaleIntercept=-100, WindowCenter=20000, WindowWidth=1000)
    assert (grey(data, "page=2") == np.asarray(decode(one).rgb)[..., 0]).all()
    assert (grey(data, "page=2+levels=0..50000") == as_levels(2 * frames[2].astype(int) - 100, 0, 50000)).all()
    assert (grey(data, "page=max+levels=0..130000") == as_levels(2 * frames.max(0).astype(int) - 100, 0, 130000)).all()
    inverted = dicom(frames[2], PhotometricInterpretation="MONOCHROME1")
    assert (grey(inverted, "levels=0..50000") == 255 - as_levels(frames[2], 0, 50000)).all()
    import pydicom

    sample = (SAMPLES / "examples_ybr_color.dcm").read_bytes()
    theirs = pydicom.pixels.pixel_array(pydicom.dcmread(io.BytesIO(sample)), index=29)
    assert (rgb(sample, "page=29") == theirs).all() and "it has 30" in reason_for(sample, "page=30")


def test_damaged() -> None:
    """A stack that was copied in part, or changed anywhere in its header, is an image or a reason."""
    for data in (OME, IMAGEJ, WHOLE):
        for cut in (10, 100, 500, len(data) // 2, len(data) - 10):
            for part in (data[:cut], data[:cut] + bytes([data[cut] ^ 0xFF]) + data[cut + 1 :]):
                try:
                    decode(part, channels="z=max+c=0")
                except UnreadableImage as unreadable:
                    assert unreadable.reason


def test_cut_off_after_its_first_page() -> None:
    """What is left has other axes than the whole stack: one page is all that a reader sees, and it may be another channel."""
    for data in (OME, tiff(ZC, photometric="minisblack"), tiff(ZC, bigtiff=True, photometric="minisblack")):
        assert decode(data, channels="page=0").rgb.size
        for part in (data[: len(data) // 2], data[: -len(data) // 3]):
            assert "cut off" in reason_for(part, "page=0") and "cut off" in reason_for(part, "z=max+c=0")


def test_limits() -> None:
    """Planes and pixels of more values than images may have are refused."""
    assert "million" in reason_for(OME, "z=0+c=0", max_pixels=599)
    wide = tiff(np.zeros((9, 9, 500), np.uint8), photometric="minisblack", planarconfig="contig")
    assert "500 values" in reason_for(wide, "c=0", max_pixels=81)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "RGB", "int16"])
def test_lzw(kind: str) -> None:
    """Pages of an LZW file have their values without imagecodecs, where Pillow has them; else the reason names it."""
    if kind == "RGB":
        pages = RNG.integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    else:
        pages = (RNG.random((3, 20, 30)) * 200).astype("uint8" if kind == "int16" else kind)
    images = [Image.fromarray(page) for page in pages]
    if kind == "int16":
        images = [image.convert("I") for image in images]
    buffer = io.BytesIO()
    images[0].save(buffer, "TIFF", save_all=True, append_images=images[1:], compression="tiff_lzw")
    if kind == "int16":
        assert "LZW" in reason_for(buffer.getvalue(), "page=0+levels=0..9") and "imagecodecs" in reason_for(
            buffer.getvalue(), "page=0+levels=0..9"
        )
        return
    found = measured(buffer.getvalue(), "page=2")
    assert (np.stack(found, -1).squeeze() == pages[2]).all()
    if kind != "RGB":
        assert (measured(buffer.getvalue(), "page=max")[0] == pages.max(0)).all()


def test_a_bomb() -> None:
    """A strip that unpacks to more than its samples is refused before it is unpacked in memory."""
    data = tiff(np.zeros((64, 64), np.uint16), compression="zlib", rowsperstrip=64)
    assert not grey(data, "page=0").any()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        ((offset,), (n_bytes,)) = (file.pages[0].dataoffsets, file.pages[0].databytecounts)
        where = file.pages[0].tags["StripOffsets"].valueoffset, file.pages[0].tags["StripByteCounts"].valueoffset
    bomb = zlib.compress(bytes(1 << 24))
    changed = bytearray(data + bomb)
    for place, value, before in zip(where, (len(data), len(bomb)), (offset, n_bytes), strict=True):
        assert int.from_bytes(changed[place : place + 2], "little") == before
        changed[place : place + 2] = value.to_bytes(2, "little")
    assert "larger than they should be" in reason_for(bytes(changed), "page=0")
    lzma = tiff(np.zeros((64, 64), np.uint16))
    assert "LZMA" in reason_for(lzma.replace(b"\x03\x01\x03\0\1\0\0\0\1\0", b"\x03\x01\x03\0\1\0\0\0\x6d\x88"), "page=0")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tifffile is missing, the reason of a TIFF names the extra; other files and TIFFs without a choice need none."""
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert "pip install 'headstart[tiff]'" in reason_for(OME, "z=0+c=0")
    assert decode(OME).pages == 12 and decode(png(Image.new("RGB", (9, 9))), channels="page=0").format == "PNG"


def test_the_store_knows_what_was_chosen() -> None:
    """Features and facts of another choice, or of another tifffile, are not used; without a choice nothing has changed."""
    names = {pixels_version(channels=channels) for channels in ("", "page=0", "page=1", "page=1+levels=0..9")}
    assert len(names) == 4 and all(f"tifffile{tifffile.__version__}" in name for name in names if name != pixels_version())
    assert "tifffile" not in pixels_version()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("page=3", "page=3"),
        ("c=0,2,1+z=max", "z=max+c=0,2,1"),
        ("window=0.5..99.5+t=mean", "t=mean+window=0.5..99.5"),
        ("levels=-1e3..4095.0", "levels=-1000..4095"),
        ("c=00", "c=0"),
    ],
)
def test_one_spelling_for_one_meaning(text: str, canonical: str) -> None:
    """What means the same has one text, which means that again."""
    assert channels_of(text).text == canonical and channels_of(canonical) == channels_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *("page", "page=", "page=-1", "page=1,2+c=0,1", "q=1", "c=" + ",".join(map(str, range(33))), "c=max,1", "z=median"),
        *("page=1+page=2", "+", "page=1+"),
        *("window=1", "window=99..1", "window=-1..50", "window=1..101", "window=1..99,2..98", "levels=5..5", "levels=nan..1"),
        *("levels=0..9+window=1..99", "levels=0..1,0..2", "c=0,1+levels=0..1,0..2,0..3", "page=٣", "page=1 ", "PAGE=1"),
    ],
)
def test_what_it_cannot_be(text: str) -> None:
    """What means nothing, or two things, is refused with how it is written."""
    with pytest.raises(ValueError, match=r"page=3|leave out|pairs"):
        channels_of(text)
