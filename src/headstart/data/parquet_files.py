"""Parquet files that are read in place, on a disk or elsewhere: their footers, and some columns of some of their rows.

Of a file that Python opened they are read in the calling thread: without `use_threads`, and without `pre_buffer`, which reads
ahead in further threads. Arrow's threads hold pieces of the file, which are Python's objects: one that drops its piece while
the process ends takes the process with it (SIGABRT, after all is done and said).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from headstart.addresses.address import address_in, shown, shown_place
from headstart.errors import DataError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

T = TypeVar("T")
ENDING = ".parquet"


@dataclass(frozen=True, slots=True)
class ParquetPlace:
    """Where a Parquet file is."""

    place: str  # a path or an address
    version: str  # changes when the content does

    @classmethod
    def of(cls, place: str) -> "ParquetPlace":
        """The file as it is now. Raises DataError if there is none."""
        if address_in(place) is None:
            try:
                found = Path(place).stat()
            except OSError as error:
                message = f"{place} cannot be read: {error.strerror or error}"
                raise DataError(message, hint="check that it is a table") from error
            return cls(place, f"{found.st_size} {found.st_mtime_ns}")
        from headstart.addresses.filesystems import about

        known = about(place)
        if known is None:
            raise DataError(f"there is nothing at {shown(place)}", hint="check the address")
        return cls(place, known.version)


def looked_into(at: ParquetPlace, look: "Callable[[pyarrow.parquet.ParquetFile], T]", buffer_bytes: int = 0) -> T:
    """What a function finds in an open Parquet file, of which only what it asks for is read; so many bytes of a column at once.

    Raises DataError if it is none, or damaged, and FileNotFoundError if it is gone.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        footer = _footer(at)

        def found(file: BinaryIO) -> T:
            with pyarrow.parquet.ParquetFile(file, metadata=footer, buffer_size=buffer_bytes, pre_buffer=False) as opened:
                return look(opened)

        return _opened(at.place, found)
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:  # OSError is what it raises of a damaged footer
        raise DataError(f"{shown_place(at.place)} is not a Parquet file: {error}", hint="write it again") from error


@lru_cache(256)
def _footer(at: ParquetPlace) -> "pyarrow.parquet.FileMetaData":
    import pyarrow.parquet

    return _opened(at.place, pyarrow.parquet.read_metadata)


def verified_table(file: BinaryIO, columns: Sequence[str] | None = None) -> "pyarrow.Table":
    """The table in an open Parquet file, or some of its columns, whose page checksums are right.

    Raises OSError or pyarrow.ArrowException if it is damaged; only an error of the system's own has an errno.
    """
    import pyarrow.parquet

    opened = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
    return opened.read(columns=None if columns is None else list(columns), use_threads=False)


def _opened(place: str, look: Callable[[BinaryIO], T]) -> T:
    if address_in(place) is None:
        with Path(place).open("rb") as file:
            return look(file)
    from headstart.addresses.filesystems import look_into

    return look_into(place, look, ahead=False)
