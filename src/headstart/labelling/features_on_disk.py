"""Features of many images in a file: of 100,000 they are 400 MB, which a process need not hold."""

import mmap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headstart.errors import HeadstartError

AT_ONCE = 256  # rows that are copied before their pages are given back: around a scattered row the system maps 64 KB
STORED = np.dtype(np.float16)


class Features(Protocol):
    """(n, n_features) features of any float type: an array, or what gives arrays when rows are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n_features)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


class FeaturesOnDisk:
    """(n, n_features) float16 in a file; what is read of it does not stay in memory.

    Written by one thread, and read by any, also of other processes. Rows are asked for as those of an array: by a number, a
    slice, or an array of numbers or flags; what is given is a copy.
    """

    def __init__(self, path: Path, n: int, n_features: int, *, is_new: bool = False) -> None:
        """Opens the file, or makes it, with zeros. Raises HeadstartError if there is no room for it."""
        self.path, self.shape = path, (n, n_features)
        n_bytes = n * n_features * STORED.itemsize
        try:
            self._file = path.open("w+b" if is_new else "rb", buffering=0)
            if is_new:
                self._file.truncate(n_bytes)
            self._map = mmap.mmap(self._file.fileno(), n_bytes, access=mmap.ACCESS_READ)
            if not is_new:
                self._file.close()
        except OSError as error:
            raise self._cannot_write(error) from error
        self._rows = np.frombuffer(self._map, STORED).reshape(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            return self._copied(np.array([rows]))[0]
        if isinstance(rows, slice):
            return self._copied(np.arange(*rows.indices(len(self))))
        numbers = np.asarray(rows)
        return self._copied(np.flatnonzero(numbers) if numbers.dtype == np.bool_ else numbers)

    def _copied(self, numbers: np.ndarray) -> np.ndarray:
        copy = np.empty((len(numbers), self.shape[1]), STORED)
        for start in range(0, len(numbers), AT_ONCE):
            copy[start : start + AT_ONCE] = self._rows[numbers[start : start + AT_ONCE]]
            if hasattr(mmap, "MADV_DONTNEED"):  # Windows gives pages back when another process needs them
                self._map.madvise(mmap.MADV_DONTNEED)
        return copy

    def __setitem__(self, row: int, vector: np.ndarray) -> None:
        """Writes one row. Raises HeadstartError."""
        content = np.ascontiguousarray(vector, STORED).tobytes()
        try:
            self._file.seek(row * len(content))
            if self._file.write(content) != len(content):
                raise OSError(0, "the disk is full")
        except OSError as error:
            raise self._cannot_write(error) from error

    def remove(self) -> None:
        """Removes the file. Whoever has it open can still read it."""
        self._file.close()
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows keeps a file that is mapped: there it can be read no more
            self._rows = np.empty((0, self.shape[1]), STORED)
            with suppress(BufferError, PermissionError):  # it is still being read; the next one is written over it
                self._map.close()
                self.path.unlink(missing_ok=True)

    def _cannot_write(self, error: OSError) -> HeadstartError:
        megabytes = self.shape[0] * self.shape[1] * STORED.itemsize / 1e6
        reason = error.strerror or str(error)
        hint = f"{max(1, round(megabytes))} MB are needed there: make room, or put the project elsewhere"
        return HeadstartError(f"{self.path} cannot hold the features: {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class SomeFeatures:
    """Some rows and the first columns of features, as float32; read when they are asked for."""

    features: Features
    rows: np.ndarray  # (n,) int64
    n_columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n_columns)."""
        return len(self.rows), self.n_columns

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        return self.features[self.rows[rows]][..., : self.n_columns].astype(np.float32)
