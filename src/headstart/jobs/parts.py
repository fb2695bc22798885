"""The results of a job while it goes on: one Parquet file for each finished shard, named by its digest.

A part is there completely or not at all, so processes and machines do not conflict, and who starts the same job again finds
what is finished.
"""

import io
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow
import pyarrow.parquet

from headstart.addresses.address import address_in, joined, name_of
from headstart.data.parquet_files import verified_table
from headstart.errors import HeadstartError
from headstart.storage import atomic_write

PART, SPLIT = ".parquet", ".halves"  # endings: of a finished shard, of the mark of one that is computed in two halves

SEVERAL = "all workers must reach it: if they are on several machines, "
SHARED_OUTPUT = f"{SEVERAL}put the --output on a disk that they share, or into object storage"
SHARED_HOME = f"{SEVERAL}set HEADSTART_HOME to a folder on a disk that they share, or have train or audit write to an address"
REACHED = "all workers must reach it: look whether they have the same address and credentials"


class Parts(Protocol):
    """Where the parts of a job are: a place that all its workers can reach."""

    @property
    def place(self) -> str | Path:
        """A folder or an address, in which what else the workers need of the job can be put."""
        ...

    @property
    def shown(self) -> str:
        """The place, for messages."""
        ...

    @property
    def remedy(self) -> str:
        """What to do if workers do not reach the place."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the part of this digest is finished."""
        ...

    def write(self, digest: str, table: pyarrow.Table) -> None:
        """Keeps the result of a shard. Raises HeadstartError."""
        ...

    def read(self, digest: str, n_rows: int) -> pyarrow.Table | None:
        """The result of a shard of so many images; None if it is gone or damaged, and then it is removed."""
        ...

    def is_begun(self) -> bool:
        """Whether an earlier command has left something here."""
        ...

    def is_split(self, digest: str) -> bool:
        """Whether a shard was found to be computed better in halves."""
        ...

    def note_split(self, digest: str) -> None:
        """Notes that a shard is computed in halves from now on, also when the job is started again."""
        ...

    def remove(self) -> None:
        """Removes all parts, when what was made of them is written."""
        ...

    def beside(self, name: str) -> "Parts":
        """Those of another job of the same command: removing the ones leaves the others."""
        ...


def parts_at(place: str | Path) -> Parts:
    """The parts in a folder or at an address."""
    address = address_in(place)
    return PartFolder(Path(place)) if address is None else PartsElsewhere(address)


@dataclass(frozen=True, slots=True)
class PartFolder:
    """Parts in a folder of this machine, or one that all machines see."""

    place: Path
    at_home: bool = False  # below home(), where the command has no output to keep them beside

    @property
    def shown(self) -> str:
        return str(self.place)

    @property
    def remedy(self) -> str:
        return SHARED_HOME if self.at_home else SHARED_OUTPUT

    def has(self, digest: str) -> bool:
        return self._part(digest).is_file()

    def write(self, digest: str, table: pyarrow.Table) -> None:
        try:
            with atomic_write(self._part(digest), durable=False) as aside, aside.open("wb") as file:
                _write(table, file)  # a damaged part is told by its checksums
        except OSError as error:
            reason = error.strerror or str(error)
            raise HeadstartError(f"{self.place} cannot be written to: {reason}", hint="make room, then start again") from error

    def read(self, digest: str, n_rows: int) -> pyarrow.Table | None:
        part = self._part(digest)
        try:
            if not part.is_file() and self.place.is_dir():
                list(self.place.iterdir())  # a shared disk remembers that it was not there, until its folder is read anew
            with part.open("rb") as file:
                table = _read(file, n_rows)
        except FileNotFoundError:
            return None
        if table is None:
            part.unlink(missing_ok=True)
        return table

    def is_begun(self) -> bool:
        return self.place.is_dir() and any(self.place.iterdir())

    def is_split(self, digest: str) -> bool:
        return (self.place / f"{digest}{SPLIT}").is_file()

    def note_split(self, digest: str) -> None:
        with atomic_write(self.place / f"{digest}{SPLIT}") as aside:
            aside.touch()

    def remove(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def beside(self, name: str) -> "PartFolder":
        return replace(self, place=self.place.with_name(f"{self.place.name}-{name}"))

    def _part(self, digest: str) -> Path:
        return self.place / f"{digest}{PART}"


@dataclass(slots=True)
class PartsElsewhere:
    """Parts at an address. What is there is listed once: each question would be a request."""

    place: str
    _names: set[str] | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        from headstart.addresses.address import shown

        return shown(self.place)

    @property
    def remedy(self) -> str:
        return REACHED

    def has(self, digest: str) -> bool:
        return f"{digest}{PART}" in self._known()

    def write(self, digest: str, table: pyarrow.Table) -> None:
        from headstart.addresses.filesystems import put_bytes

        content = io.BytesIO()
        _write(table, content)
        put_bytes(content.getvalue(), joined(self.place, f"{digest}{PART}"))

    def read(self, digest: str, n_rows: int) -> pyarrow.Table | None:
        from headstart.addresses.filesystems import read_or_none

        data = read_or_none(joined(self.place, f"{digest}{PART}"))
        return None if data is None else _read(io.BytesIO(data), n_rows)

    def is_begun(self) -> bool:
        return bool(self._known())

    def is_split(self, digest: str) -> bool:
        return f"{digest}{SPLIT}" in self._known()

    def note_split(self, digest: str) -> None:
        from headstart.addresses.filesystems import put_bytes

        put_bytes(b"", joined(self.place, f"{digest}{SPLIT}"))

    def remove(self) -> None:
        from headstart.addresses.filesystems import remove_below

        remove_below(self.place)

    def beside(self, name: str) -> "PartsElsewhere":
        return PartsElsewhere(f"{self.place}-{name}")

    def _known(self) -> set[str]:
        from headstart.addresses.filesystems import listed_if_there

        if self._names is None:
            self._names = {name_of(one.address) for page in listed_if_there(self.place) for one in page}
        return self._names

    def __getstate__(self) -> str:
        return self.place  # the workers only write

    def __setstate__(self, place: str) -> None:
        self.place, self._names = place, None


def _write(table: pyarrow.Table, file: BinaryIO) -> None:
    pyarrow.parquet.write_table(table, file, compression="none", write_page_checksum=True, write_statistics=False)


def _read(file: BinaryIO, n_rows: int) -> pyarrow.Table | None:
    """The table in a file; None if it is damaged or has another number of rows."""
    try:
        table = verified_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        if getattr(error, "errno", None) is not None:  # of the system, such as too many open files: not of the content
            raise
        return None
    return table if table.num_rows == n_rows else None
