"""The rows of one space of the store, in Parquet part files.

A part file is written under a temporary name and renamed, so readers never see half a file and processes do not conflict. Rows
that two processes both computed are stored twice, which does no harm. Page checksums are verified; a damaged part is reported,
removed and recomputed. A part that the operating system currently does not let us read is left alone.
"""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from headstart.data.facts import ImageFacts
from headstart.data.miniatures import ROW_BYTES
from headstart.data.parquet_files import verified_table
from headstart.errors import HeadstartWarning
from headstart.model.arrow_columns import cells, constant, texts
from headstart.model.digest_index import DigestIndex, as_digests
from headstart.storage import atomic_write, sha256_of_bytes

ROW_BITS = 32  # of a place, for the row within a part; the higher bits are the part's number
VECTOR, MINIATURE, LIKENESS = "vector", "miniature", "likeness"
COLUMN_TYPES = {"image": pyarrow.string(), MINIATURE: pyarrow.binary(ROW_BYTES), LIKENESS: pyarrow.float32()} | {
    field.name: {int: pyarrow.uint64(), float: pyarrow.float64(), str: pyarrow.string()}[type(field.default)]
    for field in fields(ImageFacts)
}
SQUEEZED = (MINIATURE,)  # columns that are compressed; features hardly shrink


class Table:
    """The rows of one space, looked up by the SHA-256 of the image's bytes.

    The index is built once from the existing parts and grows with the rows this process adds. Rows that other processes add in
    the meantime are recomputed.
    """

    def __init__(self, folder: Path, named: Mapping[str, str | int]) -> None:
        """Of the space whose key is `named`: everything that changes a value, besides the image."""
        self._folder = folder
        self._space = dict(named)
        self._key = sha256_of_bytes(json.dumps(named, sort_keys=True).encode())[:16]
        self._index = DigestIndex()
        self._parts: list[Path] = []
        self._told = False  # whether an unreadable part was reported: if one is unreadable, most are
        found = []
        for part in sorted(folder.glob(f"{self._key}-*.parquet")):
            digests = self._digests_of(part)
            if digests is not None:
                found.append((digests, self._places(part, len(digests))))
        if found:
            self._index.add(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def find(self, digests: Sequence[str]) -> np.ndarray:
        """(n,) int64: the place of each digest, for `read`; -1 if it is not stored or is ""."""
        found = np.full(len(digests), -1, np.int64)
        asked = np.flatnonzero([bool(digest) for digest in digests])
        found[asked] = self._index.find(as_digests([digests[i] for i in asked.tolist()]))
        return found

    def read(self, found: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The rows at the places `found`: (which of them could be read, the cells of their columns in that order)."""
        part_of, row_of = found >> ROW_BITS, found & ((1 << ROW_BITS) - 1)
        readable = np.zeros(len(found), dtype=bool)
        parts, order, lost = [], [], []
        for part in np.unique(part_of).tolist():
            wanted = np.flatnonzero(part_of == part)
            rows = self._read_part(self._parts[part], columns)
            if rows is None:
                lost.append(part)
                continue
            with suppress(OSError):  # another process has freed space, or home() is read-only
                os.utime(self._parts[part])  # marks it as used: the oldest is removed first when the store is full
            parts.append([cells(rows.column(name))[row_of[wanted]] for name in columns])
            order.append(wanted)
            readable[wanted] = True
        if lost:
            self._index.keep(np.setdiff1d(np.arange(len(self._parts)), lost), ROW_BITS)
        if not parts:
            return readable, [np.empty(0, object) for _ in columns]
        back = np.argsort(np.concatenate(order), kind="stable")
        return readable, [np.concatenate(column)[back] for column in zip(*parts, strict=True)]

    def add(self, digests: Sequence[str], columns: dict[str, pyarrow.Array]) -> int:
        """Writes a part with new rows; returns its size in bytes."""
        content = {"image": texts(digests)} | columns
        of_space = {name: constant(value, len(digests)) for name, value in self._space.items()}
        # A unique name for each writer.
        stamp = sha256_of_bytes("".join(digests).encode() + os.urandom(8))[:12]
        part = self._folder / f"{self._key}-{stamp}.parquet"
        with atomic_write(part, durable=False) as aside:  # a damaged part is recomputed
            pyarrow.parquet.write_table(
                pyarrow.table(content | of_space),
                aside,
                compression={name: "zstd" if name in SQUEEZED else "none" for name in (*content, *of_space)},
                use_dictionary=list(of_space),
                write_page_checksum=True,
                write_statistics=False,
            )
            n_bytes = aside.stat().st_size
        self._index.add(as_digests(digests), self._places(part, len(digests)))
        return n_bytes

    def _places(self, part: Path, n_rows: int) -> np.ndarray:
        """(n_rows,) int64: the places of a new part's rows, with the part's number in the high bits."""
        self._parts.append(part)
        return (np.int64(len(self._parts) - 1) << ROW_BITS) + np.arange(n_rows, dtype=np.int64)

    def _digests_of(self, part: Path) -> np.ndarray | None:
        table = self._read_part(part, ["image"])
        if table is None:
            return None
        try:
            return as_digests(table.column("image").to_pylist())
        except (TypeError, ValueError) as error:
            _remove_damaged(part, str(error))
            return None

    def _read_part(self, part: Path, columns: Sequence[str]) -> pyarrow.Table | None:
        """Columns of a part; None if it is gone, damaged (it is then removed) or currently unreadable (it then stays)."""
        try:
            with part.open(
                "rb"
            ) as file:  # not opened by pyarrow: its OSErrors do not tell a damaged page from too many open files
                try:
                    table = verified_table(file, columns)
                except (OSError, pyarrow.ArrowException) as error:
                    if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
                        raise  # an operating system error; pyarrow's own errors have no errno
                    _remove_damaged(part, str(error).splitlines()[0])
                    return None
        except FileNotFoundError:  # another process has freed space
            return None
        except (OSError, MemoryError) as failure:  # too many open files, no permission, a disconnected network drive ...
            self._tell_unreadable(part, failure)
            return None
        for name in columns:
            if name not in table.column_names or not _is_as_written(name, table.schema.field(name).type):
                _remove_damaged(part, f"it has no column {name} of the right type")
                return None
        return table

    def _tell_unreadable(self, part: Path, failure: OSError | MemoryError) -> None:
        if self._told:
            return
        self._told = True
        reason = (failure.strerror if isinstance(failure, OSError) else "") or str(failure) or type(failure).__name__
        message = f"a part of the store cannot be read now, so its images are recomputed: {part}: {reason}"
        warnings.warn(message, HeadstartWarning, stacklevel=2)


def _is_as_written(column: str, found: pyarrow.DataType) -> bool:
    if column == VECTOR:
        return pyarrow.types.is_fixed_size_list(found) and found.value_type == pyarrow.float32()
    return bool(found == COLUMN_TYPES[column])


def _remove_damaged(part: Path, reason: str) -> None:
    message = f"a part of the store is damaged and will be recomputed: {part.name}: {reason}"
    warnings.warn(message, HeadstartWarning, stacklevel=2)
    with suppress(OSError):  # home() is read-only, or another process was faster
        part.unlink()
