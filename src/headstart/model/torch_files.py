"""The tensors of weights files as numpy arrays, read without torch.

A torch file is a pickle that refers to raw bytes behind it (the format before torch 1.6) or beside it in a zip. The arrays are
read-only views of the file's bytes, whatever sizes it states, so that a small file never becomes large in memory.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from headstart.errors import BackboneError
from headstart.model.tensor_names import damaged, state_in
from headstart.model.torch_pickles import Machine, RefusedError, StoredTensor

LEGACY = (0x1950A86A20F9469CFC6C, 1001)  # the first two pickles of a file of before torch 1.6
ENTRY_BYTES = 30  # of an entry's header in a zip, before its name

SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The state dict in a .safetensors file or a torch file, by the names in it; read-only arrays, bfloat16 as float32.

    Raises BackboneError for a file that is damaged or holds anything but plain tensors.
    """
    try:
        data = file.read_bytes()
        if file.suffix == ".safetensors":
            entries = dict(safetensors.deserialize(data))  # in any order
            return {name: _safetensors_array(entries[name]) for name in sorted(entries)}
    except (OSError, safetensors.SafetensorError, RefusedError) as error:
        raise BackboneError(f"{file} cannot be read: {error}", hint="is the file complete?") from error
    try:
        content, bytes_of = _zip_content(data) if data.startswith(b"PK") else _legacy_content(data)
        state = state_in(content, StoredTensor, file)
        storages = {tensor.storage for tensor in state.values()}
        if sum(storage.n_bytes for storage in storages) > len(data):  # parts of a zip may overlap
            raise RefusedError("its parts are larger than the file")
        flat = {storage: _values(bytes_of(storage.key), storage.dtype, storage.n_elements) for storage in storages}
        return {name: _view(tensor, flat[tensor.storage]) for name, tensor in state.items()}
    except (ValueError, LookupError, TypeError, ArithmeticError, zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged(file) from error  # what an invalid file makes of lists, slices, numbers and zips


def _safetensors_array(entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] not in SAFETENSORS_DTYPES:
        raise RefusedError(f"it has a tensor of type {entry['dtype']}")
    return _values(entry["data"], SAFETENSORS_DTYPES[entry["dtype"]], prod(entry["shape"])).reshape(entry["shape"])


def _values(data: "bytes | bytearray | memoryview", dtype: str, count: int) -> np.ndarray:
    """(count,) numbers at the start of `data`. Raises ValueError if it is shorter."""
    if count == 0:  # numpy does not read nothing from nothing
        return np.empty(0, np.float32 if dtype == "bfloat16" else dtype)
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2", count).astype(np.uint32) << 16).view(np.float32)
    values = np.frombuffer(data, dtype, count)
    values.flags.writeable = False
    return values


def _view(tensor: StoredTensor, flat: np.ndarray) -> np.ndarray:
    """The tensor's part of its storage. Raises ValueError if it is not inside."""
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if not all(type(number) is int and number >= 0 for number in numbers) or len(tensor.shape) != len(tensor.strides):
        raise RefusedError("a tensor's shape is none")
    if prod(tensor.shape) > len(flat):  # strides of 0 would make terabytes of one number
        raise RefusedError("a tensor is larger than its storage")
    if prod(tensor.shape) == 0:
        return np.empty(tensor.shape, flat.dtype)
    step = flat.itemsize
    strides = tuple(stride * step for stride in tensor.strides)
    return np.ndarray(tensor.shape, flat.dtype, flat, tensor.offset * step, strides)  # checks that it stays inside


def _zip_content(data: bytes) -> tuple[Any, Callable[[str], memoryview]]:
    """(what the pickle in a zip describes, the bytes of a storage by its key)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    (pickled,) = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    root = pickled.removesuffix("data.pkl")

    def bytes_of(name: str) -> memoryview:
        entry = entries[root + name]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:  # torch neither compresses nor encrypts
            raise RefusedError("a part is compressed")
        header = data[entry.header_offset : entry.header_offset + ENTRY_BYTES]
        begin = entry.header_offset + ENTRY_BYTES + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        if len(header) < ENTRY_BYTES or begin + entry.file_size > len(data):
            raise RefusedError("a part is cut off")
        return memoryview(data)[begin : begin + entry.file_size]

    if f"{root}byteorder" in entries and bytes(bytes_of("byteorder")) != b"little":
        raise RefusedError("its numbers are big-endian")
    return Machine().run(io.BytesIO(bytes_of("data.pkl"))), lambda key: bytes_of(f"data/{key}")


def _legacy_content(data: bytes) -> tuple[Any, Callable[[str], memoryview]]:
    """The same of a file of before torch 1.6: five pickles, then for each storage its number of elements and its bytes."""
    stream = io.BytesIO(data)
    start = (Machine().run(stream), Machine().run(stream))
    if start != LEGACY or Machine().run(stream)["little_endian"] is not True:
        raise RefusedError("it is no torch file")
    machine = Machine()
    content, keys = machine.run(stream), Machine().run(stream)
    places, position = {}, stream.tell()
    for key in keys:
        storage = machine.storages[key]
        begin, end = position + 8, position + 8 + storage.n_bytes
        if int.from_bytes(data[position:begin], "little") != storage.n_elements or end > len(data):
            raise RefusedError("a storage is cut off")
        places[key] = memoryview(data)[begin:end]
        position = end
    return content, places.__getitem__
