"""Columns of Parquet tables from NumPy arrays and text, and back, by their buffers.

pyarrow's own conversions (`array`, `scalar`, `to_numpy`) import pandas where it is installed, to recognise its objects: 0.35 s
of a probe that has all features in the store. Taking rows by number imports pyarrow.compute.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow


def numbers(values: np.ndarray) -> pyarrow.Array:
    """A column of (n,) numbers, without a copy where they are contiguous."""
    flat = np.ascontiguousarray(values)
    return pyarrow.Array.from_buffers(pyarrow.from_numpy_dtype(flat.dtype), len(flat), [None, pyarrow.py_buffer(flat)])


def lists(values: np.ndarray) -> pyarrow.Array:
    """A column of vectors from (n, width) float32."""
    return pyarrow.FixedSizeListArray.from_arrays(numbers(np.ascontiguousarray(values, np.float32).ravel()), values.shape[1])


def fixed_bytes(values: np.ndarray) -> pyarrow.Array:
    """A column of strings of bytes from (n, width) uint8."""
    flat = np.ascontiguousarray(values, np.uint8)
    return pyarrow.Array.from_buffers(pyarrow.binary(flat.shape[1]), len(flat), [None, pyarrow.py_buffer(flat)])


def ragged(values: Sequence[np.ndarray]) -> pyarrow.Array:
    """A column of lists that may differ in length, from at least one array of numbers for each row."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    return pyarrow.LargeListArray.from_arrays(numbers(ends), numbers(np.concatenate(values)))


def ragged_cells(column: pyarrow.ChunkedArray) -> list[np.ndarray]:
    """The arrays of a column of such lists."""
    return [cell for chunk in column.chunks for cell in _split(chunk)]


def _split(rows: pyarrow.Array) -> list[np.ndarray]:
    ends = np.frombuffer(rows.buffers()[1], np.int64, len(rows) + 1, 8 * rows.offset)
    kind, values = rows.type.value_type.to_pandas_dtype(), rows.values
    flat = np.frombuffer(values.buffers()[1], kind, len(values), np.dtype(kind).itemsize * values.offset)
    return np.split(flat[ends[0] : ends[-1]], ends[1:-1] - ends[0])


def texts(values: Sequence[str]) -> pyarrow.Array:
    """A column of text."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pyarrow.StringArray.from_buffers(len(values), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(encoded)))


def constant(value: str | int, n_rows: int) -> pyarrow.Array:
    """A column that has the same value in every row; it is stored once."""
    once = texts([value]) if isinstance(value, str) else numbers(np.array([value], np.int64))
    return pyarrow.DictionaryArray.from_arrays(numbers(np.zeros(n_rows, np.int32)), once)


def cells(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column's values, in the column's own memory: (n, width) float32 for vectors, uint8 for strings of bytes of one length.

    Else (n,) of Python's objects.
    """
    if pyarrow.types.is_fixed_size_binary(column.type):
        strings, width = column.combine_chunks(), column.type.byte_width
        whole = np.frombuffer(strings.buffers()[1] or b"", np.uint8, len(strings) * width, strings.offset * width)
        return whole.reshape(-1, width)
    if not pyarrow.types.is_fixed_size_list(column.type):
        found = np.empty(len(column), object)
        found[:] = column.to_pylist()
        return found
    rows, width = column.combine_chunks(), column.type.list_size
    if not len(rows):
        return np.empty((0, width), np.float32)
    begin = rows.offset * width + rows.values.offset  # in numbers: a slice has the buffer of the whole
    return np.frombuffer(rows.values.buffers()[1], np.float32, len(rows) * width, 4 * begin).reshape(-1, width)
