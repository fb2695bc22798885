"""TIFF files made by hand, tag by tag: Pillow writes few of the kinds that cameras, scanners and microscopes do."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, BANDS, ROWS, PLANAR = 256, 257, 258, 259, 262, 277, 278, 284
TILE_WIDTH, TILE_HEIGHT, SUB_PAGES, EXTRA, FORMAT = 322, 323, 330, 338, 339
SHORT, LONG = "H", "I"
BYTES = {2: 1, 1: 1, 7: 1}  # field types that are kept as they are

Page = tuple[Mapping[int, Sequence[int] | bytes], Sequence[bytes]]  # tags, and the strips or tiles


def tags(
    width: int, height: int, bits: int, photometric: int, bands: int = 1, **more: Sequence[int] | bytes
) -> dict[int, Sequence[int] | bytes]:
    """The tags of a page; `more` are others by number, such as t338=[1]."""
    plain: dict[int, Sequence[int] | bytes] = {
        WIDTH: [width],
        HEIGHT: [height],
        BITS: [bits] * bands,
        COMPRESSION: [1],
        PHOTOMETRIC: [photometric],
        BANDS: [bands],
        ROWS: [height],
    }
    return plain | {int(name[1:]): value for name, value in more.items()}


def tiff(*pages: Page, order: str = "<", below: Sequence[Page] = (), big: bool = False) -> bytes:
    """A file of these pages one after the other; `below` are pages below the first (SubIFDs)."""
    letter, width = ("Q", 8) if big else ("I", 4)
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42))
    out += struct.pack(f"{order}HH", 8, 0) if big else b""
    start = len(out)
    out += bytes(width)

    def write(page: Page, following: int, extra: Mapping[int, Sequence[int] | bytes]) -> int:
        found, segments = dict(page[0]) | extra, []
        for segment in page[1]:
            segments.append(len(out))
            out.extend(segment)
        is_tiled = TILE_WIDTH in found
        found[324 if is_tiled else 273] = segments
        found[325 if is_tiled else 279] = [len(segment) for segment in page[1]]
        entries = b""
        for tag, value in sorted(found.items()):
            if isinstance(value, bytes):
                kind, body, count = 7, value, len(value)
            else:
                kind, field = (4, LONG) if max(value, default=0) > 65535 or tag in (273, 279, 324, 325, 330) else (3, SHORT)
                body, count = struct.pack(f"{order}{len(value)}{field}", *value), len(value)
            if len(body) > width:
                place = struct.pack(f"{order}{letter}", len(out))
                out.extend(body)
            else:
                place = body.ljust(width, b"\0")
            entries += struct.pack(f"{order}HH{letter}", tag, kind, count) + place
        at = len(out)
        out.extend(
            struct.pack(f"{order}{'Q' if big else 'H'}", len(found)) + entries + struct.pack(f"{order}{letter}", following)
        )
        return at

    lower = [write(page, 0, {}) for page in below]
    at = 0
    for i in reversed(range(len(pages))):
        at = write(pages[i], at, {SUB_PAGES: lower} if i == 0 and lower else {})
    out[start : start + width] = struct.pack(f"{order}{letter}", at)
    return bytes(out)


def packed(levels: np.ndarray, bits: int, order: str = "<") -> bytes:
    """(rows, samples) levels as rows of `bits` a sample, each row filled up to a byte."""
    if bits == 16:
        return levels.astype(f"{order}u2").tobytes()
    if bits == 8:
        return levels.astype(np.uint8).tobytes()
    places = np.arange(bits - 1, -1, -1)
    rows = (levels[..., None].astype(np.int64) >> places & 1).astype(np.uint8).reshape(len(levels), -1)
    return np.packbits(rows, axis=1).tobytes()
