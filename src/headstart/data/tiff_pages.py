"""The pages of a TIFF file: which of them is the photograph, and why there may be none (TIFF 6.0, BigTIFF, DNG 1.7)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from headstart.data.other_files import raw_reason
from headstart.data.unreadable import UnreadableImage

BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")  # the last two are wrong, but written
MOST_PAGES = 4096  # that are looked at
MOST_BANDS = 4
MOST_TAGS = 4096  # of a page
MOST_NUMBERS = 1 << 20  # of a tag: places of strips or tiles


class Tag(IntEnum):
    """The tags that are read."""

    SUBFILE_TYPE = 254
    OLD_SUBFILE_TYPE = 255
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    MAKE = 271
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    BANDS = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    PALETTE = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    SUB_PAGES = 330
    INK_SET = 332
    EXTRA_BANDS = 338
    SAMPLE_FORMAT = 339
    SUBSAMPLING = 530
    ICC_PROFILE = 34675
    DNG_VERSION = 50706


KNOWN = frozenset(Tag)
DEFAULTS = {
    Tag.BITS: 1,
    Tag.COMPRESSION: 1,
    Tag.FILL_ORDER: 1,
    Tag.ORIENTATION: 1,
    Tag.BANDS: 1,
    Tag.PLANAR: 1,
    Tag.PREDICTOR: 1,
}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR = 0, 1, 2, 5, 6  # PHOTOMETRIC
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # SAMPLE_FORMAT
REDUCED, MASK, OLD_REDUCED = 1, 4, 2  # bits of SUBFILE_TYPE; a value of OLD_SUBFILE_TYPE
UNCOMPRESSED = 1
MOSAICS = (32803, 34892)  # PHOTOMETRIC of raw photographs: colour filter array, linear raw
RAW_COMPRESSIONS = (32767, 32769, 34713, 65000, 65535)  # Sony's, Epson's, Nikon's, Kodak's, Pentax's
MAKERS = {
    "canon": "Canon CR2",
    "nikon": "Nikon NEF",
    "sony": "Sony ARW",
    "pentax": "Pentax PEF",
    "ricoh": "Pentax PEF",
    "samsung": "Samsung SRW",
    "hasselblad": "Hasselblad 3FR",
    "phase one": "Phase One IIQ",
    "kodak": "Kodak DCR",
    "epson": "Epson ERF",
}
# Field type -> bytes of a value and, for numbers, its letter in struct.
TYPES = {1: (1, "B"), 2: (1, ""), 3: (2, "H"), 4: (4, "I"), 7: (1, ""), 13: (4, "I"), 16: (8, "Q"), 18: (8, "Q")}
RANGE_IS_UNKNOWN = "their range is unknown; save the image with 8 or 16 bits"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag of a page, not read yet."""

    type: int
    count: int
    offset: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page and its tags, which are read where they are asked for: a small file can point to gigabytes of them."""

    index: int  # in the file, as Pillow counts; -1 for a page below another
    order: str  # of bytes, as struct writes it: "<" or ">"
    data: bytes  # of the file
    entries: Mapping[int, Entry]  # of known tags
    n_pages: int = 1  # of the file, without previews and masks

    def numbers(self, tag: Tag, most: int = MOST_NUMBERS) -> tuple[int, ...]:
        """The first `most` values of a tag; empty if the page does not have it."""
        entry = self.entries.get(tag)
        if entry is None or not TYPES[entry.type][1]:
            return ()
        size, letter = TYPES[entry.type]
        count = min(entry.count, most, max(0, len(self.data) - entry.offset) // size)
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data, entry.offset)

    def number(self, tag: Tag) -> int:
        """The first value of a tag, or what the standard says of a page without it."""
        found = self.numbers(tag, 1)
        return found[0] if found else DEFAULTS.get(tag, 0)

    def content(self, tag: Tag) -> bytes:
        """The bytes of a tag that holds text or another file; empty if the page does not have it."""
        entry = self.entries.get(tag)
        return self.data[entry.offset : entry.offset + entry.count] if entry else b""

    @property
    def is_whole(self) -> bool:
        """Whether it is an image of its own: no preview, mask or lower resolution of another."""
        return not self.number(Tag.SUBFILE_TYPE) & (REDUCED | MASK) and self.number(Tag.OLD_SUBFILE_TYPE) != OLD_REDUCED

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of each band's samples."""
        found, n = self.numbers(Tag.BITS, MOST_BANDS) or (1,), min(self.number(Tag.BANDS), MOST_BANDS)
        return found * n if len(found) == 1 else found[:n]


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF or BigTIFF file."""
    return data[:4] in BEGINNINGS


def check_pages(data: bytes) -> None:
    """Raises UnreadableImage if the pages of a TIFF lead out of it: it was cut off, and what is left may mean another image."""
    try:
        reader = _Reader(data)
        seen: set[int] = set()
        at = reader.first
        while at and at not in seen and len(seen) < MOST_PAGES:
            seen.add(at)
            at = reader.following(at)
    except struct.error as error:
        raise UnreadableImage("the image is damaged: a TIFF cut off in its header") from error


def photograph_in(data: bytes) -> Page:
    """The first whole page of a TIFF. Raises UnreadableImage for raw photographs, and for pixels of an unknown meaning."""
    try:
        pages, below = _pages(data)
    except struct.error as error:
        raise UnreadableImage("the image is damaged: a TIFF cut off in its header") from error
    _refuse_raw(data, (*pages, *below))
    whole = [page for page in pages if page.is_whole]
    if not whole:
        raise UnreadableImage("it holds only a preview of an image that is elsewhere", "type")
    first = replace(whole[0], n_pages=len(whole))
    _refuse_unknown(first)
    return first


def in_words(page: Page) -> str:
    """What a page's pixels are, as told when they cannot be read."""
    bits = "/".join(map(str, sorted(set(page.bits))))
    kind, compression = page.number(Tag.PHOTOMETRIC), page.number(Tag.COMPRESSION)
    return f"{page.number(Tag.BANDS)} x {bits} bits, photometric {kind}, compression {compression}"


def _refuse_raw(data: bytes, pages: tuple[Page, ...]) -> None:
    if any(Tag.DNG_VERSION in page.entries for page in pages):
        raise UnreadableImage(raw_reason("DNG"), "type")
    if data[8:10] == b"CR":
        raise UnreadableImage(raw_reason("Canon CR2"), "type")
    for page in pages:
        if page.number(Tag.PHOTOMETRIC) in MOSAICS or page.number(Tag.COMPRESSION) in RAW_COMPRESSIONS:
            makes = " ".join(other.content(Tag.MAKE)[:64].decode("ascii", "replace").lower() for other in pages)
            found = [kind for maker, kind in MAKERS.items() if maker in makes]
            raise UnreadableImage(raw_reason(found[0] if found else "of a camera"), "type")


def _refuse_unknown(page: Page) -> None:
    """Raises UnreadableImage where samples have no certain meaning, which no reader may guess."""
    formats, bits = set(page.numbers(Tag.SAMPLE_FORMAT, MOST_BANDS)) or {UNSIGNED}, max(page.bits, default=1)
    n_bands, photometric = page.number(Tag.BANDS), page.number(Tag.PHOTOMETRIC)
    if FLOAT in formats:
        raise UnreadableImage(f"floating-point pixels: {RANGE_IS_UNKNOWN}", "type")
    if bits > 16:
        raise UnreadableImage(f"{bits}-bit integer pixels: {RANGE_IS_UNKNOWN}", "type")
    if SIGNED in formats:
        raise UnreadableImage(f"signed pixels: {RANGE_IS_UNKNOWN}", "type")
    if formats != {UNSIGNED}:
        raise UnreadableImage(f"complex or undefined pixels: {RANGE_IS_UNKNOWN}", "type")
    if n_bands > MOST_BANDS:
        raise UnreadableImage(f"{n_bands} bands, not a photograph: save three of them as an RGB image", "type")
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and n_bands > 2:
        raise UnreadableImage(f"{n_bands} bands that are not named as colours: save the image as RGB", "type")
    if photometric == CMYK and page.number(Tag.INK_SET) == 2:
        raise UnreadableImage("inks other than cyan, magenta, yellow and black: save the image as RGB", "type")
    coarse = page.numbers(Tag.SUBSAMPLING) or (2, 2)
    if photometric == YCBCR and page.number(Tag.COMPRESSION) == UNCOMPRESSED and coarse != (1, 1):
        raise UnreadableImage("uncompressed pixels with subsampled colours are not read: save the image as RGB", "type")


def _pages(data: bytes) -> tuple[list[Page], list[Page]]:
    """The pages of a file in their order, and the pages below them."""
    reader = _Reader(data)
    pages: list[Page] = []
    below: list[Page] = []
    seen, at = set(), reader.first
    while at and at not in seen and len(pages) < MOST_PAGES:
        seen.add(at)
        page, at = reader.page(at, len(pages))
        pages.append(page)
        for place in page.numbers(Tag.SUB_PAGES, MOST_PAGES - len(below)):
            below.append(reader.page(place, -1)[0])
    return pages, below


class _Reader:
    """Finds the tags of a classic or big TIFF."""

    def __init__(self, data: bytes) -> None:
        self._order = "<" if data[:2] == b"II" else ">"
        self._data, self._is_big = data, b"+" in data[2:4]
        self._letter, self._width = ("Q", 8) if self._is_big else ("I", 4)
        self.first = self._unpack(self._letter, 8 if self._is_big else 4)[0]

    def page(self, at: int, index: int) -> tuple[Page, int]:
        """The page whose tags are at an offset, and the offset of the next; 0 if it is the last."""
        entries: dict[int, Entry] = {}
        (n,) = self._unpack("Q" if self._is_big else "H", at)
        at, entry = at + (8 if self._is_big else 2), 4 + 2 * self._width
        n = min(n, MOST_TAGS, (len(self._data) - at) // entry)  # a file that was cut off has fewer
        for place in range(at, at + n * entry, entry):
            tag, kind = self._unpack("HH", place)
            if tag in KNOWN and kind in TYPES:
                entries[tag] = self._entry(place + 4, kind)
        end = at + n * entry
        following = self._unpack(self._letter, end)[0] if end + self._width <= len(self._data) else 0
        return Page(index, self._order, self._data, entries), following

    def following(self, at: int) -> int:
        """The offset of the page after the one at an offset; 0 if it is the last. Raises struct.error beyond the file."""
        (n,) = self._unpack("Q" if self._is_big else "H", at)
        return self._unpack(self._letter, at + (8 if self._is_big else 2) + n * (4 + 2 * self._width))[0]

    def _entry(self, place: int, kind: int) -> Entry:
        (count,) = self._unpack(self._letter, place)
        place += self._width
        is_elsewhere = count * TYPES[kind][0] > self._width
        return Entry(kind, count, self._unpack(self._letter, place)[0] if is_elsewhere else place)

    def _unpack(self, letters: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + letters, self._data, at)
