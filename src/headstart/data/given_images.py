"""Images as a program has them: paths, PIL images, arrays, bytes and open files, one or many.

An image in memory becomes the bytes of an image file. So it goes the way of every file, and the same picture gets the same
answer in every form.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from headstart.data.pil_images import file_behind, file_of_pixels, netpbm
from headstart.data.sources import Candidate
from headstart.data.unreadable import MAX_BYTES, UnreadableImage, check_size
from headstart.errors import DataError

GivenImage = str | os.PathLike[str] | Image.Image | np.ndarray | bytes | bytearray | memoryview | BinaryIO
GivenImages = GivenImage | Iterable[GivenImage]

TAKEN = "give paths, PIL images, uint8 arrays (height, width, 3), the bytes of image files or files opened with 'rb'"
TENSORS = {"torch", "tensorflow", "jax", "jaxlib"}  # packages whose tensors are usually normalised or have channels first
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


@dataclass(frozen=True, slots=True)
class ImageInMemory:
    """An image that is not a file of its own."""

    path: str  # as shown to people: its file's name, if it has one, else its place in the list, such as images[3]
    read: Callable[[], bytes]  # the bytes of an image file. Raises UnreadableImage


def given_images(images: GivenImages) -> Iterator[Candidate | ImageInMemory]:
    """Each image that was given, in order: of one image, one. Of an iterator, one after the other is taken as they are needed.

    An array (n, height, width, 3) is n images, and a table with one column is what the column holds. Each image in memory is
    copied when its turn comes, so the caller may then change it. Raises DataError for what is no image, also while iterating.
    """
    if isinstance(images, np.ndarray) and images.ndim == 0:
        return given_images(images.item())
    if _is_one(images):
        return iter([_given(images, "image")])
    if _is_tensor(images) or not (isinstance(images, Iterable) or hasattr(images, "columns")):
        raise _not_taken(images, "image")
    return (_given(image, f"images[{i}]") for i, image in enumerate(listed(images, "images")))


def listed(values: Any, name: str, of_one_hot: str = "") -> Iterable[Any]:
    """The items of a list, array, column or iterator. Raises DataError for what has no order or is more than one column."""
    columns = getattr(values, "column_names", getattr(values, "columns", None))  # of pyarrow; of pandas and polars
    if columns is not None:
        if len(columns) != 1:
            shown = ", ".join(str(column) for column in columns)
            hint = f"give one column{f': table[{columns[0]!r}]' if len(columns) else ''}{of_one_hot}"
            raise DataError(f"{name} is a table of {len(columns)} columns ({shown})", hint=hint)
        return listed(values[columns[0]], name)
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if isinstance(values, np.ndarray) and values.dtype.kind in "OSTU" and values.ndim != 1:
        raise DataError(f"{name} is an array of shape {values.shape}", hint="give an array with one dimension")
    if isinstance(values, set | frozenset):
        raise DataError(f"{name} is a {type(values).__name__}, which has no order", hint="give a list")
    if not isinstance(values, Iterable):
        raise DataError(f"{name} is a {_kind_of(values)}, not a list", hint="give a list or an array")
    return values


def _is_one(images: Any) -> bool:
    if isinstance(images, np.ndarray):
        return images.size > 0 and images.ndim in (2, 3) and images.dtype.kind not in "OSTU"
    return isinstance(images, str | os.PathLike | Image.Image | bytes | bytearray | memoryview) or hasattr(images, "read")


def _given(image: Any, name: str) -> Candidate | ImageInMemory:
    if hasattr(image, "as_py"):  # an item of a column of pyarrow
        image = image.as_py()
    if isinstance(image, str | os.PathLike):
        path = os.fsdecode(image)
        return Candidate(path, Path(path))
    if isinstance(image, Image.Image):
        return _given_pil_image(image, name)
    if isinstance(image, np.ndarray):
        return ImageInMemory(name, _given_array(image, name))
    if isinstance(image, bytes | bytearray | memoryview):
        return ImageInMemory(name, partial(_sized, bytes(image)))
    if hasattr(image, "read"):
        return _given_file(image, name)
    raise _not_taken(image, name)


def _given_pil_image(image: Image.Image, name: str) -> ImageInMemory:
    filename = getattr(image, "filename", "")
    shown = os.fsdecode(filename) if filename else name
    try:
        data = file_behind(image)
        return ImageInMemory(shown, partial(_sized, data) if data is not None else file_of_pixels(image))
    except UnreadableImage as unreadable:
        return ImageInMemory(shown, partial(_refuse, unreadable))


def _given_array(array: np.ndarray, name: str) -> Callable[[], bytes]:
    if array.dtype != np.uint8:
        raise DataError(
            f"{name} is an array of {array.dtype}, not uint8",
            hint="scale the values to 0 .. 255 and convert them: (array * 255).round().astype('uint8') if they are 0 .. 1",
        )
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        channels_first = array.ndim == 3 and array.shape[0] in CHANNELS
        shape = "an image is (height, width, 3), RGB; one of more channels is given as a TIFF file"
        hint = "put the channels last: array.transpose(1, 2, 0)" if channels_first else shape
        raise DataError(f"{name} is an array of shape {array.shape}", hint=hint)
    if array.ndim == 3 and array.shape[2] == 4:
        return file_of_pixels(Image.fromarray(array))
    return partial(bytes, netpbm(array))


def _given_file(file: Any, name: str) -> ImageInMemory:
    """The whole content of an open file, wherever it has been read to, as PIL does it too."""
    own = getattr(file, "name", None)
    shown = own if isinstance(own, str) else name
    if isinstance(file, io.TextIOBase):
        raise DataError(f"{name} is a file that was opened as text", hint="open it with 'rb'")
    try:
        if file.seekable():
            file.seek(0)
        data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:  # closed; or no file although it has a `read`
        return ImageInMemory(shown, partial(_refuse, UnreadableImage(f"the open file cannot be read: {error}")))
    if not isinstance(data, bytes):
        raise DataError(f"{name} is a file whose read() gives no bytes", hint="read it first, and give the bytes")
    return ImageInMemory(shown, partial(_sized, data))


def _sized(data: bytes) -> bytes:
    check_size(len(data))
    return data


def _refuse(unreadable: UnreadableImage) -> bytes:
    raise unreadable


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in TENSORS


def _kind_of(value: Any) -> str:
    """The name of a value's type, with its package: list, torch.Tensor."""
    package = type(value).__module__.split(".")[0]
    return type(value).__name__ if package == "builtins" else f"{package}.{type(value).__name__}"


def _not_taken(value: Any, name: str) -> DataError:
    hint = "convert it to a uint8 array (height, width, 3), RGB from 0 to 255, not normalised" if _is_tensor(value) else TAKEN
    return DataError(f"{name} is a {_kind_of(value)}, which is not taken as an image", hint=hint)
