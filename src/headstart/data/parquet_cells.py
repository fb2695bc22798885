"""Images in the cells of Parquet files: their row groups are unpacked one by one, as images of them are asked for."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from headstart.addresses.address import shown_place
from headstart.data.parquet_files import ParquetPlace, looked_into
from headstart.data.remote_file import NOT_FETCHED, RemoteFile
from headstart.data.unreadable import UnreadableImage, check_size
from headstart.errors import HeadstartError, first_line
from headstart.forks import forks, lock_free_at_forks
from headstart.storage import temporary_folder

if TYPE_CHECKING:
    import pyarrow.parquet

KEPT_BYTES = 1 << 30  # of unpacked row groups, in temporary files: those used last
ROWS, BUFFER_BYTES = 32, 8 << 20  # that are in memory while a group is unpacked: rows, and bytes of the file
Key = tuple[ParquetPlace, str, int]


@dataclass(frozen=True, slots=True)
class ParquetCell(RemoteFile):
    """An image in the Parquet file at `address`, which may be a path of this machine; `version` is that of the file."""

    column: str = ""  # that holds the bytes, with a dot before a part of a record
    number: int = 0  # of its row, from 1 on
    group: int = 0  # which row group that is in
    row: int = 0  # its place in the group
    called: str = ""  # the name that the file has for it

    @property
    def name(self) -> str:
        return self.called or str(self.number)

    @property
    def identity(self) -> tuple[str | int, ...]:
        return self.address, self.column, self.number, self.version

    def read(self) -> bytes:
        try:
            data = _read(ParquetPlace(self.address, self.version), self.column, self.group, self.row)
        except FileNotFoundError as error:
            raise UnreadableImage("its Parquet file does not exist") from error
        except HeadstartError as error:
            raise UnreadableImage(f"{NOT_FETCHED}: {error.message}") from error
        except Exception as error:  # the clients of the stores have no common class
            raise UnreadableImage(f"{NOT_FETCHED}: {first_line(error)}") from error
        if data is None:
            raise UnreadableImage("its cell is empty")
        check_size(len(data))
        return data

    def __str__(self) -> str:
        return f"{shown_place(self.address)}!{self.number}{'/' if self.called else ''}{self.called}"


@dataclass(frozen=True, slots=True)
class CellsOfImages:
    """A column of images in a Parquet file."""

    at: ParquetPlace
    column: str
    starts: tuple[int, ...]  # of the row groups: how many rows are before each

    def file_of(self, given: str) -> ParquetCell:
        number, _, called = given.partition("/")
        row = int(number) - 1
        group = bisect_right(self.starts, row) - 1
        return ParquetCell(
            self.at.place,
            version=self.at.version,
            column=self.column,
            number=row + 1,
            group=group,
            row=row - self.starts[group],
            called=called,
        )


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """The images of a row group, one after the other in a file."""

    file: Path
    ends: list[int]  # of each image in the file
    there: list[bool]  # False for an empty cell


_kept: OrderedDict[Key, _Unpacked] = OrderedDict()
_busy: dict[tuple[int, Key], threading.Lock] = {}
_lock = lock_free_at_forks()


def _read(at: ParquetPlace, column: str, group: int, row: int) -> bytes | None:
    with _group_of((at, column, group)) as (file, unpacked):
        if not unpacked.there[row]:
            return None
        start = unpacked.ends[row - 1] if row else 0
        file.seek(start)
        return file.read(unpacked.ends[row] - start)


@contextmanager
def _group_of(key: Key) -> Iterator[tuple[BinaryIO, _Unpacked]]:
    """A row group, unpacked once however many threads ask for it; open, so that it is there when others take its place."""
    with _lock:
        busy = _busy.setdefault((forks(), key), threading.Lock())
    with busy:
        opened = _opened(key)
        if opened is None:
            unpacked = _unpack(key)
            with _lock:
                _kept[key] = unpacked
                _make_room()
            opened = unpacked.file.open("rb"), unpacked
    with opened[0]:
        yield opened


def _opened(key: Key) -> tuple[BinaryIO, _Unpacked] | None:
    with _lock:
        unpacked = _kept.get(key)
        if unpacked is None:
            return None
        _kept.move_to_end(key)
        try:
            return unpacked.file.open("rb"), unpacked
        except FileNotFoundError:  # somebody has emptied the temporary folder
            del _kept[key]
            return None


def _make_room() -> None:
    total = sum(one.ends[-1] for one in _kept.values() if one.ends)
    while total > KEPT_BYTES and len(_kept) > 1:
        key, oldest = _kept.popitem(last=False)
        total -= oldest.ends[-1] if oldest.ends else 0
        _busy.pop((forks(), key), None)
        with suppress(OSError):  # Windows keeps what somebody reads; it goes when the process ends
            oldest.file.unlink()


def _unpack(key: Key) -> _Unpacked:
    at, column, group = key
    ends: list[int] = []
    there: list[bool] = []
    with NamedTemporaryFile(dir=_folder(forks()), delete=False) as target:

        def write(file: "pyarrow.parquet.ParquetFile") -> None:
            target.seek(0)
            target.truncate()
            ends.clear()
            there.clear()
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column], use_threads=False):
                values = batch.column(0)
                for part in column.split(".")[1:] if values.type.num_fields else ():
                    values = values.field(part)
                for value in values:
                    data = value.as_py()
                    target.write(data or b"")
                    ends.append(target.tell())
                    there.append(data is not None)

        try:
            looked_into(at, write, BUFFER_BYTES)
        except BaseException:
            with suppress(OSError):
                Path(target.name).unlink()
            raise
        return _Unpacked(Path(target.name), ends, there)


@cache
def _folder(forks: int) -> Path:
    return temporary_folder()
