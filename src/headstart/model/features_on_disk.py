"""Features of many images in a file: of a million they are 8 GB, which a process need not hold."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np

from headstart.errors import HeadstartError

AT_ONCE = 256  # rows that are copied before their pages are given back: around a scattered row the system maps 64 KB
READ_TOGETHER = 2_048  # rows


class Features(Protocol):
    """(n, n_features) features of any float type: an array, or what gives arrays when rows are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n_features)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


class FeaturesOnDisk:
    """(n, n_features) of one type of numbers in a file; what is read of it does not stay in memory.

    Written by one thread, and read by any, also of other processes. Rows are asked for as those of an array: by a number, a
    slice, or an array of numbers or flags; what is given is a copy.
    """

    def __init__(
        self, path: Path, n: int, n_features: int, *, is_new: bool = False, dtype: type[np.number[Any]] = np.float16
    ) -> None:
        """Opens the file, or makes it, with zeros. Raises HeadstartError if there is no room for it."""
        self.path, self.shape, self.dtype = path, (n, n_features), np.dtype(dtype)
        with self._told():
            self._file: IO[bytes] = path.open("w+b" if is_new else "rb", buffering=0)
            self._open(is_new)
            if not is_new:
                self._file.close()

    @classmethod
    def nameless(cls, folder: Path, n: int, n_features: int, dtype: type[np.number[Any]]) -> "FeaturesOnDisk":
        """Zeros in a file that is gone when it is not needed any more, also if the process is killed. Raises HeadstartError."""
        made = cls.__new__(cls)
        made.path, made.shape, made.dtype = folder, (n, n_features), np.dtype(dtype)
        with made._told():
            folder.mkdir(parents=True, exist_ok=True)
            made._file = TemporaryFile(dir=folder, prefix="features-", buffering=0)  # noqa: SIM115 - open as long as it is needed
            made._open(is_new=True)
        return made

    def _open(self, is_new: bool) -> None:
        n_bytes = self.shape[0] * self.shape[1] * self.dtype.itemsize
        if is_new:
            self._file.truncate(n_bytes)
        self._map = mmap.mmap(self._file.fileno(), n_bytes, access=mmap.ACCESS_READ)
        self._rows = np.frombuffer(self._map, self.dtype).reshape(self.shape)

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
        copy = np.empty((len(numbers), self.shape[1]), self.dtype)
        for start in range(0, len(numbers), AT_ONCE):
            copy[start : start + AT_ONCE] = self._rows[numbers[start : start + AT_ONCE]]
            if hasattr(mmap, "MADV_DONTNEED"):  # Windows gives pages back when another process needs them
                self._map.madvise(mmap.MADV_DONTNEED)
        return copy

    def __setitem__(self, row: int, vectors: np.ndarray) -> None:
        """Writes one row, or several from this one on. Raises HeadstartError."""
        content = np.ascontiguousarray(vectors, self.dtype).tobytes()
        with self._told():
            self._file.seek(row * self.shape[1] * self.dtype.itemsize)
            if self._file.write(content) != len(content):
                raise OSError(0, "the disk is full")

    def close(self) -> None:
        """Ends the writing; rows can still be read."""
        self._file.close()

    def remove(self) -> None:
        """Removes the file. Whoever has it open can still read it."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows keeps a file that is mapped: there it can be read no more
            self._rows = np.empty((0, self.shape[1]), self.dtype)
            with suppress(BufferError, PermissionError):  # it is still being read; the next one is written over it
                self._map.close()
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            megabytes = self.shape[0] * self.shape[1] * self.dtype.itemsize / 1e6
            reason = error.strerror or str(error)
            hint = f"{max(1, round(megabytes))} MB are needed there: make room, or use another place"
            raise HeadstartError(f"{self.path} cannot hold the features: {reason}", hint=hint) from error


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
        return self.features[self.rows[rows]][..., : self.n_columns].astype(np.float32, copy=False)


def first_columns(features: Features, n_columns: int) -> Features:
    """(n, n_columns) of (n, n_features) features, which are not copied."""
    if isinstance(features, np.ndarray):
        return features[:, :n_columns]
    return SomeFeatures(features, np.arange(len(features)), n_columns)


def some_rows(features: Features, rows: np.ndarray) -> SomeFeatures:
    """(n_rows, n_features) of (n, n_features) features, which are not copied."""
    return SomeFeatures(features, rows, features.shape[1])


def in_parts(features: Features, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows, at most READ_TOGETHER at a time."""
    for start in range(0, max(1, len(rows)), READ_TOGETHER):
        yield features[rows[start : start + READ_TOGETHER]]
