"""Pixels of TIFF files of every depth and arrangement, against the levels that they were written with."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from headstart.data.images import decode
from headstart.data.unreadable import UnreadableImage
from tests.data.tiffs import COMPRESSION, FORMAT, PLANAR, ROWS, TILE_HEIGHT, TILE_WIDTH, packed, tags, tiff

WIDTH, HEIGHT = 37, 21  # rows of 12 bits then end within a byte
RAMP = np.add.outer(np.arange(HEIGHT) * 5, np.arange(WIDTH) * 3) % 256  # (HEIGHT, WIDTH) levels of 8 bits
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def deep(levels: np.ndarray, bits: int) -> np.ndarray:
    """8-bit levels with `bits`: what is rounded to them again."""
    return np.round(levels * ((1 << bits) - 1) / 255).astype(np.int64)


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(decode(data).rgb, int)


def reason_for(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    return caught.value.reason


def lzw(content: bytes, width: int, height: int) -> bytes:
    """Bytes as libtiff's LZW packs a strip of them."""
    file = io.BytesIO()
    Image.frombytes("L", (width, height), content).save(file, "TIFF", compression="tiff_lzw", tiffinfo={ROWS: height})
    with Image.open(io.BytesIO(file.getvalue())) as image:
        (at,), (length,) = image.tag_v2[273], image.tag_v2[279]
    return file.getvalue()[at : at + length]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_grey_of_any_depth(bits: int, photometric: int, order: str) -> None:
    """Grey samples of 9 to 16 bits fill the range from black to white, whether 0 is white or black, in both byte orders."""
    levels = deep(RAMP if photometric else 255 - RAMP, bits)
    data = tiff((tags(WIDTH, HEIGHT, bits, photometric), [packed(levels, bits, order)]), order=order)
    assert (pixels_of(data) == RAMP[..., None]).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_of_any_depth(bits: int, planar: int, order: str) -> None:
    """RGB samples of 8 to 16 bits come out within a level, together or each colour in a plane of its own."""
    levels = deep(COLOURS, bits)
    rows = levels.reshape(HEIGHT, -1)
    strips = [packed(rows, bits, order)] if planar == 1 else [packed(levels[..., band], bits, order) for band in range(3)]
    found = pixels_of(tiff((tags(WIDTH, HEIGHT, bits, 2, 3, t284=[planar]), strips), order=order))
    assert np.abs(found - COLOURS).max() <= 1


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_several_strips(bits: int, rows: int) -> None:
    """The strips follow each other, the last may be shorter."""
    levels = deep(RAMP, bits)
    strips = [packed(levels[at : at + rows], bits) for at in range(0, HEIGHT, rows)]
    assert (pixels_of(tiff((tags(WIDTH, HEIGHT, bits, 0) | {ROWS: [rows]}, strips))) == 255 - RAMP[..., None]).all()


@pytest.mark.parametrize(
    ("bits", "photometric", "bands"), [(12, 1, 1), (12, 2, 3), (16, 0, 1), (16, 1, 1), (8, 2, 3), (16, 2, 3)]
)
def test_tiles(bits: int, photometric: int, bands: int) -> None:
    """Tiles are put in their places, and what of them is outside of the image is dropped."""
    wanted = RAMP if bands == 1 else COLOURS
    levels = np.zeros((32, 48, bands), np.int64)
    levels[:HEIGHT, :WIDTH] = deep(wanted if photometric else 255 - wanted, bits).reshape(HEIGHT, WIDTH, bands)
    tiles = [packed(levels[top : top + 16, left : left + 16].reshape(16, -1), bits) for top in (0, 16) for left in (0, 16, 32)]
    page = tags(WIDTH, HEIGHT, bits, photometric, bands) | {TILE_WIDTH: [16], TILE_HEIGHT: [16]}
    del page[ROWS]
    assert np.abs(pixels_of(tiff((page, tiles))) - wanted.reshape(HEIGHT, WIDTH, bands)).max() <= 1


@pytest.mark.parametrize("compression", [5, 8, 32946])
@pytest.mark.parametrize(("bits", "bands"), [(12, 1), (12, 3), (16, 1)])
def test_compressed_samples(compression: int, bits: int, bands: int) -> None:
    """Samples of 12 bits, and white is zero with 16, are read from LZW and Deflate too."""
    wanted = RAMP if bands == 1 else COLOURS
    photometric = 2 if bands == 3 else 0
    content = packed(deep(wanted if bands == 3 else 255 - wanted, bits).reshape(HEIGHT, -1), bits)
    strip = lzw(content, len(content) // HEIGHT, HEIGHT) if compression == 5 else zlib.compress(content)
    data = tiff((tags(WIDTH, HEIGHT, bits, photometric, bands) | {COMPRESSION: [compression]}, [strip]))
    assert (pixels_of(data) == wanted.reshape(HEIGHT, WIDTH, bands)).all()


def test_differences_of_neighbours() -> None:
    """16-bit samples that are stored as differences, with white as zero, are added up again."""
    levels = deep(255 - RAMP, 16)
    differences = np.diff(levels, axis=1, prepend=0) % 65536
    page = tags(WIDTH, HEIGHT, 16, 0, t317=[2]) | {COMPRESSION: [8]}
    assert (pixels_of(tiff((page, [zlib.compress(packed(differences, 16))]))) == RAMP[..., None]).all()


def test_reversed_bits() -> None:
    """Samples of 12 bits whose bytes begin with their lowest bit, as fax programs write, are turned around."""
    content = np.frombuffer(packed(deep(RAMP, 12), 12), np.uint8)
    content = np.packbits(np.unpackbits(content, bitorder="little"))
    assert (pixels_of(tiff((tags(WIDTH, HEIGHT, 12, 1, t266=[2]), [content.tobytes()]))) == RAMP[..., None]).all()


def test_big_tiff() -> None:
    """Samples of 12 bits in a BigTIFF are read as in a small one."""
    data = tiff((tags(WIDTH, HEIGHT, 12, 1), [packed(deep(RAMP, 12), 12)]), big=True)
    assert (pixels_of(data) == RAMP[..., None]).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(("extra", "share"), [(1, 0.5), (2, 0.5), (0, 1.0)])
def test_alpha(extra: int, share: float, colours: int, planar: int, bits: int) -> None:
    """Alpha is met on white: colours that are multiplied by it are divided first, others not, an unnamed band is no alpha."""
    straight = (RAMP if colours == 1 else COLOURS).reshape(HEIGHT, WIDTH, colours)
    stored = straight * share if extra == 1 else straight
    alpha = np.full((HEIGHT, WIDTH, 1), 127.5)
    levels = deep(np.concatenate([stored, alpha], axis=-1), bits)
    rows = [levels.reshape(HEIGHT, -1)] if planar == 1 else [levels[..., band] for band in range(colours + 1)]
    page = tags(WIDTH, HEIGHT, bits, 1 if colours == 1 else 2, colours + 1, t338=[extra])
    found = pixels_of(tiff((page | {PLANAR: [planar]}, [packed(row, bits) for row in rows])))
    wanted = straight * share + 255 * (1 - share)
    assert np.abs(found - wanted).max() <= 2


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("planar", [1, 2])
def test_a_fourth_band_without_a_name_that_is_zero_everywhere(planar: int, bits: int) -> None:
    """An unused byte in each pixel is not taken for transparency, which would make the whole image white."""
    levels = deep(np.concatenate([COLOURS, np.zeros((HEIGHT, WIDTH, 1), np.int64)], axis=-1), bits)
    rows = [levels.reshape(HEIGHT, -1)] if planar == 1 else [levels[..., band] for band in range(4)]
    data = tiff((tags(WIDTH, HEIGHT, bits, 2, 4, t284=[planar]), [packed(row, bits) for row in rows]))
    assert np.abs(pixels_of(data) - COLOURS).max() <= 1


def test_a_palette_of_8_bits() -> None:
    """A palette that was written with levels up to 255 in place of 65,535 is not black."""
    palette = [255] * 256 + list(range(256)) + [0] * 256
    page = tags(WIDTH, HEIGHT, 8, 3, t320=palette)
    assert (pixels_of(tiff((page, [packed(RAMP, 8)]))) == np.stack([RAMP * 0 + 255, RAMP, RAMP * 0], axis=-1)).all()
    page = tags(WIDTH, HEIGHT, 8, 3, t320=[level * 257 for level in palette])
    assert (pixels_of(tiff((page, [packed(RAMP, 8)]))) == np.stack([RAMP * 0 + 255, RAMP, RAMP * 0], axis=-1)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    """A page of 12 bits is turned as one of 8 bits is."""
    pages = [tiff((tags(WIDTH, HEIGHT, b, 1, t274=[orientation]), [packed(deep(RAMP, b), b)])) for b in (8, 12)]
    plain, deeper = (decode(data) for data in pages)
    assert (deeper.width, deeper.height) == (plain.width, plain.height) == deeper.rgb.size
    assert (np.asarray(deeper.rgb) == np.asarray(plain.rgb)).all()


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_strip_that_is_cut_off(kept: float) -> None:
    """A strip with less than its rows is damage: the rest is not made up."""
    content = packed(deep(RAMP, 12), 12)
    data = tiff((tags(WIDTH, HEIGHT, 12, 1), [content[: int(len(content) * kept)]]))
    assert reason_for(data) == "the image is damaged: a strip or tile is cut off"


def test_missing_strips() -> None:
    """A page that names fewer strips than it needs is damaged."""
    data = tiff((tags(WIDTH, HEIGHT, 12, 1) | {ROWS: [4]}, [packed(deep(RAMP, 12)[:4], 12)]))
    assert reason_for(data) == "the image is damaged: strips or tiles are missing"


def test_a_bomb_of_12_bits() -> None:
    """A few bytes that promise a billion samples are refused by their size, before any memory is taken."""
    assert "million" in reason_for(tiff((tags(50_000, 50_000, 12, 1), [b"\0" * 100])))


def test_tiles_of_one_pixel() -> None:
    """A few bytes that promise a hundred million tiles are damaged, and no list of these tiles is made."""
    page = tags(10_000, 10_000, 12, 1) | {TILE_WIDTH: [1], TILE_HEIGHT: [1]}
    tracemalloc.start()
    assert reason_for(tiff((page, [b"\0\0"]))) == "the image is damaged: strips or tiles are missing"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200 << 20  # the pixels alone take 100 MB


def test_a_compression_that_packs_no_bytes() -> None:
    """12-bit samples in a JPEG are told as what they are."""
    data = tiff((tags(WIDTH, HEIGHT, 12, 1) | {COMPRESSION: [7]}, [b"\xff\xd8"]))
    assert reason_for(data) == "a TIFF of a kind that is not read: 1 x 12 bits, photometric 1, compression 7"


@pytest.mark.parametrize("bits", [12, 16])
def test_an_earlier_decoding_keeps_its_pixels(bits: int) -> None:
    """A model that was made before sees what it was made with, right or wrong."""
    photometric = 1 if bits == 12 else 0
    data = tiff((tags(WIDTH, HEIGHT, bits, photometric), [packed(deep(RAMP, bits), bits)]))
    with Image.open(io.BytesIO(data)) as image:
        levels = np.asarray(image).astype(np.uint32)
    assert (np.asarray(decode(data, decoding=1).rgb) == ((levels + 128) // 257)[..., None]).all()
    assert FORMAT not in tags(WIDTH, HEIGHT, bits, photometric)
