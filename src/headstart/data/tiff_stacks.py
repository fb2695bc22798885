"""TIFF, OME-TIFF and ImageJ stacks, read with tifffile where the extra `tiff` is installed."""

import io
import logging
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from headstart.channels import Pick
from headstart.data.stacks import Stack
from headstart.data.tiff_pages import MOSAICS, check_pages
from headstart.data.unreadable import UnreadableImage

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

AXIS_OF = {"T": "t", "Z": "z", "C": "c", "I": "page", "Q": "page"}  # tifffile's letters; the last two are of unnamed axes
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ORIENTATION = 274
JPEG, DEFLATE, UNLIMITED = 7, (8, 32946), (34925,)  # COMPRESSION; the last is LZMA
SLACK_BYTES = 1 << 16  # that a strip may hold beyond its samples: some writers fill them up
READERS = ("tifffile", "imagecodecs")

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is its reason here


@cache
def stacks_version() -> str:
    """The versions of tifffile and of what it unpacks with; 0 for what is not installed."""
    found = []
    for package in READERS:
        try:
            found.append(version(package))
        except PackageNotFoundError:
            found.append("0")
    return "tifffile" + "+".join(found)


def open_tiff_stack(data: bytes, page: Pick | tuple[int, ...] | None, max_pixels: int) -> Stack:
    """The first series of images in a TIFF file; with numbers as `page` these pages of the file, as it stores them.

    Raises UnreadableImage if tifffile is not installed, or for pixels of a kind that is not read.
    """
    try:
        from tifffile import TiffFile
    except ImportError as error:
        raise UnreadableImage("a TIFF: --channels needs tifffile to read it (pip install 'headstart[tiff]')", "type") from error
    check_pages(data)
    try:
        file = TiffFile(io.BytesIO(data), _multifile=False)  # a file that names others is not followed
        n_pages = len(file.pages)
        if isinstance(page, int):
            if page >= n_pages:
                raise UnreadableImage(f"it has no page {page}: it has {n_pages}, counted from 0", "type")
            return _of_page(file, page, n_pages, data)
        if isinstance(page, tuple):
            return _of_pages(file, page, n_pages, data)
        return _of_series(file.series[0], n_pages, data, max_pixels)
    except UnreadableImage:
        raise
    except Exception as error:  # a damaged file can make the reader raise anything
        raise UnreadableImage(f"the image is damaged: {error or type(error).__name__}") from error


def _of_page(file: "TiffFile", number: int, n_pages: int, data: bytes) -> Stack:
    page = file.pages[number]
    key = page.keyframe
    assert key is not None  # only while a file is being opened

    def plane(at: Mapping[str, int]) -> np.ndarray:
        return _plane(page, key, data)

    # Pages have no page to choose among them any more: the number was of the file.
    return _stack(key, {"page": number + 1}, plane, n_pages)


def _of_pages(file: "TiffFile", numbers: tuple[int, ...], n_pages: int, data: bytes) -> Stack:
    if max(numbers) >= n_pages:
        raise UnreadableImage(f"it has no page {max(numbers)}: it has {n_pages}, counted from 0", "type")
    found = {number: _of_page(file, number, n_pages, data) for number in numbers}
    first = found[numbers[0]]
    kinds = {(one.mode, one.width, one.height, one.n_samples, one.orientation) for one in found.values()}
    if len(kinds) > 1:
        raise UnreadableImage("its pages differ in size or kind, so they cannot be channels of one image", "type")
    return replace(first, lengths={"page": n_pages}, plane=lambda at: found[at["page"]].plane({}))


def _of_series(series: "TiffPageSeries", n_pages: int, data: bytes, max_pixels: int) -> Stack:
    key, axes, shape = series.keyframe, series.axes, series.shape
    lengths: dict[str, int] = {}
    for letter, n in zip(axes, shape, strict=True):
        if letter in "YXS":
            continue
        name = AXIS_OF.get(letter)
        if name is None or name in lengths:
            raise UnreadableImage(f"a stack with axes {axes}, of which --channels cannot choose", "type")
        lengths[name] = n
    leading = axes.removesuffix(key.axes)
    sizes = shape[: len(leading)]
    pages = list(series.pages)
    if axes == leading + key.axes and len(pages) == int(np.prod(sizes)) and None not in pages:

        def plane(at: Mapping[str, int]) -> np.ndarray:
            place = [at[AXIS_OF[letter]] for letter in leading]
            found = pages[int(np.ravel_multi_index(place, sizes)) if place else 0]
            assert found is not None
            return _plane(found, key, data)

        return _stack(key, lengths, plane, n_pages)
    if int(np.prod(shape, dtype=np.int64)) > max_pixels:
        raise UnreadableImage(f"a stack of {'x'.join(map(str, shape))} values in one piece: too large", "size")
    return _stack(key, lengths, lambda at: _of_whole(series, at), n_pages)


def _of_whole(series: "TiffPageSeries", at: Mapping[str, int]) -> np.ndarray:
    index = tuple(slice(None) if letter in "YXS" else at[AXIS_OF[letter]] for letter in series.axes)
    rest = "".join(letter for letter in series.axes if letter in "YXS")
    found = series.asarray(maxworkers=1)[index]
    return np.moveaxis(found, 0, -1) if rest == "SYX" else found


def _stack(key: "TiffPage", lengths: Mapping[str, int], plane: object, n_pages: int) -> Stack:
    photometric, bits = int(key.photometric), int(key.bitspersample)
    is_converted = photometric == YCBCR and int(key.compression) == JPEG  # by the reader of its JPEG
    if photometric in MOSAICS or (photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE) and not is_converted):
        raise UnreadableImage(f"a TIFF whose colours --channels does not take: {_name(key.photometric)}", "type")
    kind = key.dtype.kind if key.dtype is not None else ""
    if kind not in "buif":
        raise UnreadableImage("complex or undefined pixels", "type")
    white = 65535.0 if photometric == PALETTE else float((1 << bits) - 1) if kind in "bu" and bits <= 16 else None
    tag = key.tags.get(ORIENTATION)
    return Stack(
        format="TIFF",
        mode=f"{_name(key.photometric)};{bits}",
        width=key.imagewidth,
        height=key.imagelength,
        lengths=lengths,
        plane=plane,  # type: ignore[arg-type]
        n_samples=int(key.samplesperpixel),
        white=white,
        is_colour=photometric in (RGB, PALETTE, YCBCR),
        is_inverted=photometric == WHITE_IS_ZERO,
        n_pages=n_pages,
        orientation=int(tag.value) if tag else 1,
    )


def _by_pillow(page: "TiffPage | TiffFrame", key: "TiffPage", data: bytes) -> np.ndarray | None:
    """The samples of a page that tifffile cannot unpack by itself, as LZW; None for kinds that Pillow would change."""
    n_samples, bits = int(key.samplesperpixel), int(key.bitspersample)
    kind = (int(key.photometric), n_samples, bits, key.dtype.kind if key.dtype is not None else "")
    if kind not in ((BLACK_IS_ZERO, 1, 8, "u"), (BLACK_IS_ZERO, 1, 16, "u"), (BLACK_IS_ZERO, 1, 32, "f"), (RGB, 3, 8, "u")):
        return None
    try:
        image = Image.open(io.BytesIO(data), formats=["TIFF"])
        image.seek(page.index)
        turned = image.getexif().get(ORIENTATION, 1) != 1  # Pillow turns a page itself
        found = np.asarray(image)
    except Exception as error:  # a damaged file can make the reader raise anything
        raise UnreadableImage(f"the image is damaged: {error or type(error).__name__}") from error
    is_same = not turned and found.shape[:2] == (key.imagelength, key.imagewidth) and found.dtype.kind == kind[3]
    return found if is_same and found.dtype.itemsize * 8 == bits else None


def _check_inflated(page: "TiffPage | TiffFrame", key: "TiffPage") -> None:
    """Raises UnreadableImage for strips or tiles that hold more than they should: tifffile unpacks them without a limit."""
    compression = int(key.compression)
    if compression in UNLIMITED:
        raise UnreadableImage(f"a TIFF compressed as {_name(key.compression)}, which is not read", "type")
    if compression not in DEFLATE or key.dtype is None:
        return
    most = math.prod(key.chunks) * key.dtype.itemsize + SLACK_BYTES
    file = page.parent.filehandle
    for offset, n_bytes in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.seek(offset)
        try:
            if len(zlib.decompressobj().decompress(file.read(n_bytes), most)) == most:
                raise UnreadableImage("the image is damaged: strips or tiles are larger than they should be")
        except zlib.error as error:
            raise UnreadableImage(f"the image is damaged: {error}") from error


def _name(value: int) -> str:
    return str(getattr(value, "name", value))


def _plane(page: "TiffPage | TiffFrame", key: "TiffPage", data: bytes) -> np.ndarray:
    """(height, width) or (height, width, n): the samples of a page; colours of a palette are looked up."""
    _check_inflated(page, key)
    try:
        found = page.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise UnreadableImage(f"the image is damaged: {error}") from error
        by_pillow = _by_pillow(page, key, data)
        if by_pillow is None:
            raise UnreadableImage(
                f"a TIFF compressed as {_name(key.compression)}, which needs imagecodecs (pip install imagecodecs)", "type"
            ) from error
        return by_pillow
    except Exception as error:
        raise UnreadableImage(f"the image is damaged: {error or type(error).__name__}") from error
    if int(key.photometric) == PALETTE and key.colormap is not None:
        return np.moveaxis(key.colormap[:, found], 0, -1)
    return np.moveaxis(found, 0, -1) if key.axes == "SYX" else found
