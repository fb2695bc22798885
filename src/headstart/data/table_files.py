"""Where the files are that a table names: which folder its paths start from, and which file an id without an ending means."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headstart.addresses.address import address_in, joined, shown
from headstart.data.image_files import WholeFile
from headstart.data.remote_file import RemoteFile
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import printable
from headstart.data.text_table import ImageColumn
from headstart.data.walking import IMAGE_ENDINGS, folders_of
from headstart.errors import DataError

ANNOTATIONS = {"annotations", "annotation"}
N_TRIED = 20  # paths that are looked for in each folder beside the table before all are


class TableFiles(Protocol):
    """Finds the files that a table names."""

    @property
    def table_shown(self) -> str:
        """The table itself as people are shown it."""
        ...

    def start(self, given: Sequence[str]) -> str:
        """Finds out which folder the paths start from; returns a note if it is not the table's. Raises DataError."""
        ...

    def find(self, given: str) -> WholeFile:
        """The file that a path or id means, with its ending; if there is none, where it would be. Raises DataError."""
        ...

    def stays_inside(self, file: WholeFile) -> bool:
        """Whether a file may be read: a table in an archive names only files of the archive."""
        ...

    def shown(self, given: str, file: WholeFile) -> str:
        """The file as people are shown it, where the table calls it `given`."""
        ...


@dataclass(frozen=True, slots=True)
class FilesAtAddress:
    """The files that a table in object storage names, from the folder that it is in. That they are there is not asked."""

    folder: str  # its address
    table: str = ""  # the table's

    @property
    def table_shown(self) -> str:
        return shown(self.table)

    def start(self, given: Sequence[str]) -> str:
        return ""

    def find(self, given: str) -> WholeFile:
        address = address_in(given)
        return RemoteFile(joined(self.folder, given.replace("\\", "/").removeprefix("./")) if address is None else address)

    def stays_inside(self, file: WholeFile) -> bool:
        return True

    def shown(self, given: str, file: WholeFile) -> str:
        return printable(str(file))


@dataclass(frozen=True, slots=True)
class CellsOfTable:
    """The images that a table holds itself."""

    column: ImageColumn
    table_shown: str

    def start(self, given: Sequence[str]) -> str:
        return ""

    def find(self, given: str) -> WholeFile:
        return self.column.file_of(given)

    def stays_inside(self, file: WholeFile) -> bool:
        return True

    def shown(self, given: str, file: WholeFile) -> str:
        return f"{self.table_shown}!{given}"


@dataclass(slots=True)
class FilesOfTable:
    """The files of this machine that a table names, and what it names by address."""

    table: Path
    paths: ShownPaths
    _start: Path = Path()
    _found: dict[tuple[Path, str], Path | None] = field(default_factory=dict)  # each path is looked for once
    _stems: dict[Path, dict[str, list[str]]] = field(default_factory=dict)  # folder -> name without ending -> names

    @property
    def table_shown(self) -> str:
        return self.paths(self.table)

    def start(self, given: Sequence[str]) -> str:
        """Finds out which folder the paths start from; returns a note if it is not the table's.

        That is the table's folder if any file is found there, else the only folder beside the table that has them, else the
        current folder if it has all. Raises DataError if no file is found, or if two folders have all of them.
        """
        self._start, note = self._found_start([path for path in given if address_in(path) is None])
        return note

    @property
    def inside(self) -> Path | None:
        """The folder of an unpacked archive, which paths must not leave."""
        return self.paths.below if self.paths.is_archive else None

    def _found_start(self, given: Sequence[str]) -> tuple[Path, str]:
        home = self.table.parent
        if not given or self._count(home, given):
            return home, ""
        counts = self._counts(folders_beside(home), given) or self._counts(self._folders_above(), given)
        here = Path.cwd()
        n_here = 0 if self.inside or here.resolve() == home.resolve() else self._count(here, given)
        full = [folder for folder, n in counts.items() if n == len(given)] + [here] * (n_here == len(given))
        of_name = [folder for folder in full if re.search(rf"(^|[_.-]){re.escape(folder.name)}$", self.table.stem)]
        if len(of_name) == 1:  # instances_val2017 is about the pictures in val2017/
            full = of_name
        if len(full) > 1:
            names = ["the current folder" if folder == here else f"{_relative(folder, home)}/" for folder in full]
            raise DataError(
                f"the files that {self.table} names exist in {' and in '.join(names)}: which are meant?",
                hint=f"write the paths relative to the table's folder, such as {names[0] if full[0] != here else ''}{given[0]}",
            )
        chosen = full or (list(counts) if len(counts) == 1 else [])
        if not chosen:
            raise self._nothing_found(given, n_here)
        if chosen == [here]:
            return (
                here,
                f"the paths in {self.table.name} are taken relative to the current folder: none exists below the table's",
            )
        folder = _relative(chosen[0], home)
        return chosen[0], f"the files that {self.table.name} names are taken from the folder {folder} beside it"

    def find(self, given: str) -> WholeFile:
        address = address_in(given)
        if address is not None:
            return RemoteFile(address)
        return self._existing(self._start, given) or _place(self._start, given.replace("\\", "/"))

    def shown(self, given: str, file: WholeFile) -> str:
        if isinstance(file, RemoteFile):
            return printable(str(file))
        if not self.stays_inside(file):
            return f"{self.paths.text}{given}"
        return given if self._start == Path.cwd() or Path(given).is_absolute() else self.paths(file)

    def stays_inside(self, file: WholeFile) -> bool:
        return (
            isinstance(file, RemoteFile)
            or self.inside is None
            or ("\0" not in str(file) and file.resolve().is_relative_to(self.inside.resolve()))
        )

    def _counts(self, folders: Iterable[Path], given: Sequence[str]) -> dict[Path, int]:
        """How many of the files each of the folders has that has some of the first."""
        return {folder: self._count(folder, given) for folder in folders if self._count(folder, given[:N_TRIED])}

    def _count(self, start: Path, given: Iterable[str]) -> int:
        return sum(self._existing(start, path) is not None for path in given)

    def _existing(self, start: Path, given: str) -> Path | None:
        if (start, given) not in self._found:
            self._found[start, given] = self._look_for(start, given)
        return self._found[start, given]

    def _look_for(self, start: Path, given: str) -> Path | None:
        for text in dict.fromkeys((given, given.replace("\\", "/"))):  # a table made on Windows
            file = _place(start, text)
            if not self.stays_inside(file):
                continue
            if os.path.isfile(file):  # noqa: PTH113 - this never raises
                return file
            names = self._names_by_stem(file.parent).get(file.name, [])
            if len(names) > 1:
                raise DataError(
                    f"{self.table} names {given!r}, which could be {' or '.join(names)}",
                    hint="write the names with their endings",
                )
            if names:
                return file.parent / names[0]
        return None

    def _names_by_stem(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._stems:
            stems: dict[str, list[str]] = {}
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names alone
            except (OSError, ValueError):  # there is no such folder
                names = []
            for name in names:
                stem, ending = os.path.splitext(name)  # noqa: PTH122
                if ending.lower() in IMAGE_ENDINGS:
                    stems.setdefault(stem, []).append(name)
            self._stems[folder] = stems
        return self._stems[folder]

    def _folders_above(self) -> list[Path]:
        """Of a table in annotations/, the folder that holds this one beside the pictures, and the folders in it."""
        above = above_annotations(self.table)
        return [] if above is None else [above, *folders_beside(above)]

    def _nothing_found(self, given: Sequence[str], n_here: int) -> DataError:
        missing = f"none of the {len(given)} files that {self.table} names exists; the first is {given[0]}"
        if len(given) == 1:
            missing = f"the only file that {self.table} names does not exist: {given[0]}"
        folder = "the table's folder in the archive" if self.inside else f"the table's folder, {self.table.parent.resolve()}"
        here = f"; {n_here} of them can be found from the current folder, but not all" if n_here else ""
        return DataError(missing, hint=f"paths are relative to {folder}{here}")


def above_annotations(table: Path) -> Path | None:
    """The folder that holds annotations/ with this table, as COCO has it; None if the table is elsewhere."""
    folder = table.parent
    return Path(os.path.normpath(folder / os.pardir)) if folder.resolve().name.lower() in ANNOTATIONS else None


def folders_beside(home: Path) -> list[Path]:
    """The folders in a folder, and those in them."""
    direct = folders_of(home)
    return [*direct, *(inner for folder in direct for inner in folders_of(folder))]


def _relative(folder: Path, home: Path) -> str:
    return Path(os.path.relpath(folder, home)).as_posix()


def _place(start: Path, given: str) -> Path:
    return Path(os.path.normpath(start / given))
