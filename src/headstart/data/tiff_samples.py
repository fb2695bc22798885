"""Samples of TIFF pages that Pillow reads wrongly or not at all: grey and RGB of up to 16 bits, in any arrangement."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

from headstart.data.tiff_pages import BLACK_IS_ZERO, RGB, UNCOMPRESSED, WHITE_IS_ZERO, Page, Tag, in_words
from headstart.data.unreadable import UnreadableImage

PREDICTED = (5, 8, 32946)  # compressions that PREDICTOR belongs to: LZW, Deflate (two numbers)
COMPRESSIONS = (UNCOMPRESSED, *PREDICTED, 32773)  # and PackBits: libtiff unpacks them byte by byte
BIG_ENDIAN_BIG_TIFF = b"MM\0+"  # Pillow takes it for a small TIFF
HORIZONTAL = 2  # PREDICTOR: each sample is stored as the difference from the one before
ASSOCIATED, UNASSOCIATED = 1, 2  # EXTRA_BANDS: colours are multiplied by the alpha, or not
ROWS_BITS = 1 << 26  # bits that are taken apart at once: as many bytes of memory


def is_for_samples(page: Page) -> bool:
    """Whether a page is read here: Pillow reads plain 8-bit and 16-bit pages itself."""
    bits, n_bands, photometric = set(page.bits), page.number(Tag.BANDS), page.number(Tag.PHOTOMETRIC)
    if len(bits) != 1 or photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) or (photometric == RGB and n_bands < 3):
        return False
    is_foreign = page.data.startswith(BIG_ENDIAN_BIG_TIFF)
    if bits == {8}:  # with a fourth band in a plane of its own, Pillow reads some kinds only
        is_hard = is_foreign or n_bands == 2 or (n_bands == 4 and page.number(Tag.PLANAR) == 2)
        return is_hard and page.number(Tag.COMPRESSION) in COMPRESSIONS
    if not 9 <= max(bits) <= 16:
        return False
    is_plain = (photometric == BLACK_IS_ZERO and n_bands == 1) or (photometric == RGB and page.number(Tag.PLANAR) == 1)
    return is_foreign or not (max(bits) == 16 and is_plain and page.number(Tag.FILL_ORDER) == 1)


def read_samples(data: bytes, page: Page) -> Image.Image:
    """The page as it lies in the file: 8 bits a sample, mode L, LA, RGB or RGBA. Raises UnreadableImage."""
    layout = _layout(page)
    if page.number(Tag.COMPRESSION) not in COMPRESSIONS or layout.predictor not in (1, HORIZONTAL):
        raise UnreadableImage(f"a TIFF of a kind that is not read: {in_words(page)}", "type")
    pixels = np.zeros((layout.height, layout.width, layout.n_bands), np.uint8)
    for segment in _segments(page, layout):
        rows = _unpacked(data, page, layout, segment)
        part = pixels[segment.top : segment.top + rows.shape[0], segment.left : segment.left + rows.shape[1]]
        part[..., segment.bands] = rows[: part.shape[0], : part.shape[1]]
    return _image_of(pixels, page)


@dataclass(frozen=True, slots=True)
class _Layout:
    width: int
    height: int
    n_bands: int
    bits: int
    is_planar: bool
    segment_width: int  # of a strip or a tile
    segment_height: int
    is_tiled: bool
    predictor: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """A strip or a tile: where it is in the file and in the image."""

    offset: int
    n_bytes: int
    left: int
    top: int
    bands: slice


def _layout(page: Page) -> _Layout:
    width, height = page.number(Tag.WIDTH), page.number(Tag.HEIGHT)
    is_tiled = Tag.TILE_OFFSETS in page.entries
    strip = min(page.number(Tag.ROWS_PER_STRIP) or height, height)
    return _Layout(
        width=width,
        height=height,
        n_bands=page.number(Tag.BANDS),
        bits=page.bits[0],
        is_planar=page.number(Tag.PLANAR) == 2 and page.number(Tag.BANDS) > 1,
        segment_width=page.number(Tag.TILE_WIDTH) if is_tiled else width,
        segment_height=page.number(Tag.TILE_HEIGHT) if is_tiled else strip,
        is_tiled=is_tiled,
        predictor=page.number(Tag.PREDICTOR) if page.number(Tag.COMPRESSION) in PREDICTED else 1,
    )


def _segments(page: Page, layout: _Layout) -> Iterator[_Segment]:
    """Yields the strips or tiles. Raises UnreadableImage if some are missing."""
    offsets = page.numbers(Tag.TILE_OFFSETS if layout.is_tiled else Tag.STRIP_OFFSETS)
    sizes = page.numbers(Tag.TILE_BYTES if layout.is_tiled else Tag.STRIP_BYTES)
    if min(layout.segment_width, layout.segment_height) < 1:
        raise UnreadableImage("the image is damaged: strips or tiles without a size")
    planes = [slice(band, band + 1) for band in range(layout.n_bands)] if layout.is_planar else [slice(None)]
    tops, lefts = range(0, layout.height, layout.segment_height), range(0, layout.width, layout.segment_width)
    if len(planes) * len(tops) * len(lefts) > min(len(offsets), len(sizes)):
        raise UnreadableImage("the image is damaged: strips or tiles are missing")
    places = product(planes, tops, lefts)
    for (bands, top, left), offset, n_bytes in zip(places, offsets, sizes, strict=False):
        yield _Segment(offset, n_bytes, left, top, bands)


def _unpacked(data: bytes, page: Page, layout: _Layout, segment: _Segment) -> np.ndarray:
    """(rows, width of the segment, its bands) uint8. Raises UnreadableImage if the file ends before it does."""
    n_bands = 1 if layout.is_planar else layout.n_bands
    row_samples = layout.segment_width * n_bands
    row_bytes = (row_samples * layout.bits + 7) // 8
    n_rows = layout.segment_height if layout.is_tiled else min(layout.segment_height, layout.height - segment.top)
    content = data[segment.offset : segment.offset + segment.n_bytes]
    if page.number(Tag.COMPRESSION) != UNCOMPRESSED:
        content = _decompressed(content, page.number(Tag.COMPRESSION), page.number(Tag.FILL_ORDER), row_bytes, n_rows)
    if len(content) < row_bytes * n_rows:
        raise UnreadableImage("the image is damaged: a strip or tile is cut off")
    rows = np.frombuffer(content, np.uint8, row_bytes * n_rows).reshape(n_rows, row_bytes)
    if page.number(Tag.FILL_ORDER) == 2 and page.number(Tag.COMPRESSION) == UNCOMPRESSED:
        rows = np.packbits(np.unpackbits(rows, axis=1, bitorder="little"), axis=1)
    step = max(1, ROWS_BITS // (row_bytes * 8))
    parts = [_to_8_bit(rows[at : at + step], row_samples, layout, n_bands, page.order) for at in range(0, n_rows, step)]
    return np.concatenate(parts).reshape(n_rows, layout.segment_width, n_bands)


def _to_8_bit(rows: np.ndarray, row_samples: int, layout: _Layout, n_bands: int, order: str) -> np.ndarray:
    """(rows, bytes) -> (rows, samples) uint8: the levels 0 .. 2^bits - 1 spread over 0 .. 255, rounded."""
    if layout.bits == 8:
        levels = rows[:, :row_samples].astype(np.uint32)
    elif layout.bits == 16:
        levels = rows.view(f"{order}u2").astype(np.uint32)
    else:  # the first bit of a sample is its highest, whatever the order of bytes
        bits = np.unpackbits(rows, axis=1)[:, : row_samples * layout.bits].reshape(len(rows), row_samples, layout.bits)
        places = np.uint32(1) << np.arange(layout.bits - 1, -1, -1, dtype=np.uint32)
        levels = bits @ places
    top = np.uint32((1 << layout.bits) - 1)
    if layout.predictor == HORIZONTAL:
        levels = np.cumsum(levels.reshape(len(rows), -1, n_bands), axis=1, dtype=np.uint32)
        levels = levels.reshape(len(rows), -1) & top
    return ((levels * np.uint32(255) + top // 2) // top).astype(np.uint8)


def _decompressed(content: bytes, compression: int, fill_order: int, row_bytes: int, n_rows: int) -> bytes:
    """A strip unpacked by Pillow's libtiff, to which it is shown as a grey image of one byte a pixel."""
    tags = {Tag.WIDTH: row_bytes, Tag.HEIGHT: n_rows, Tag.ROWS_PER_STRIP: n_rows, Tag.BITS: 8, Tag.BANDS: 1}
    tags |= {Tag.PHOTOMETRIC: BLACK_IS_ZERO, Tag.COMPRESSION: compression, Tag.FILL_ORDER: fill_order}
    tags |= {Tag.STRIP_OFFSETS: 8, Tag.STRIP_BYTES: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    at = 8 + len(content) + len(content) % 2
    header = struct.pack("<4sI", b"II*\0", at)
    file = header + content + bytes(len(content) % 2) + struct.pack("<H", len(tags)) + entries + bytes(4)
    return Image.open(io.BytesIO(file), formats=("TIFF",)).tobytes()


def _image_of(pixels: np.ndarray, page: Page) -> Image.Image:
    """The image of 8-bit samples: black is zero, colours are not multiplied by the alpha."""
    n_colours = 3 if page.number(Tag.PHOTOMETRIC) == RGB else 1
    colours, extra = pixels[..., :n_colours], pixels[..., n_colours:]
    # A band without a name is taken for alpha, as Pillow takes it, unless it is 0 everywhere.
    (kind, *_) = page.numbers(Tag.EXTRA_BANDS) or (UNASSOCIATED if extra.any() else 0,)
    alpha = extra[..., 0] if extra.size and kind in (ASSOCIATED, UNASSOCIATED) else None
    if page.number(Tag.PHOTOMETRIC) == WHITE_IS_ZERO:
        most = alpha[..., None] if alpha is not None and kind == ASSOCIATED else np.uint8(255)
        colours = most - np.minimum(colours, most)
    if alpha is None:
        return Image.fromarray(np.ascontiguousarray(colours[..., 0] if n_colours == 1 else colours))
    if kind == ASSOCIATED:
        wide, whole = colours.astype(np.uint16), np.maximum(alpha, 1)[..., None].astype(np.uint16)
        colours = np.minimum((wide * 255 + whole // 2) // whole, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.concatenate([colours, alpha[..., None]], axis=-1)))
