"""The folder of a project of the studio: the log of the decisions, what is exported from it, and the runs that it started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headstart.data.label_log import LabelLog
from headstart.data.relabelling import LABELS, Digests, digests_of, with_decisions
from headstart.data.sources import Sources
from headstart.data.table_labels import class_cells, is_missing
from headstart.data.walking import is_hidden
from headstart.errors import DataError, SettingsError
from headstart.locks import locked
from headstart.storage import write_csv

LABEL_TABLE, EXCLUDE_TABLE, RUNS, LOCK = "labels.csv", "exclude.csv", "runs", "studio.lock"


@dataclass(frozen=True, slots=True)
class ExportedTables:
    """The tables that were written, and how many images each names."""

    labels: Path
    n_labels: int
    exclude: Path
    n_excluded: int


@dataclass(frozen=True, slots=True)
class Project:
    """A project that this process has open."""

    folder: Path
    log: LabelLog

    @property
    def runs(self) -> Path:
        """Where the runs are that the studio starts."""
        return self.folder / RUNS

    def export(self, sources: Sequence[Sources], digests: Digests = digests_of) -> ExportedTables:
        """Writes labels.csv, with each image that has a label and is not excluded, and exclude.csv; each as a whole.

        `sources` are those that the studio shows, with their unlabelled images; `digests` gives the digests of files. `train`
        reads labels.csv as DATA, unless the images are in an archive, and exclude.csv with --exclude. Raises DataError for a
        class that a table would not give back.
        """
        new, _ = with_decisions(sources, self.log.standing(), digests)
        labelled = [candidate for source in new for candidate in source.candidates]
        excluded = [entry for source in new for entry in source.skipped if entry.kind == "excluded"]
        exported = ExportedTables(self.folder / LABEL_TABLE, len(labelled), self.folder / EXCLUDE_TABLE, len(excluded))
        _check_names([candidate.label or "" for candidate in labelled], exported.labels)
        columns = ["label", *(name for name in ("split", "group") if any(getattr(c, name) for c in labelled))]
        rows = ([_from_anywhere(c.path), *(getattr(c, name) or "" for name in columns)] for c in labelled)
        write_csv(exported.labels, ["path", *columns], rows)
        reasons = ((_from_anywhere(entry.path), entry.reason.removeprefix("excluded: ")) for entry in excluded)
        write_csv(exported.exclude, ["path", "reason"], reasons)
        return exported


def _from_anywhere(path: str) -> str:
    """A path as a table has it that lies elsewhere: absolute, and of a member of an archive as it is shown."""
    archive, sign, _ = path.partition("!")
    return path if sign and os.path.isfile(archive) else os.path.abspath(path)  # noqa: PTH100, PTH113 - it may be no path


def _check_names(labels: Sequence[str], table: Path) -> None:
    """Raises DataError if a table of these labels would be read as others."""
    names = sorted(set(labels))
    read = class_cells(names, table, "label")
    wrong = [name for name, cell in zip(names, read, strict=True) if cell.strip() != name or is_missing(name)]
    if wrong:
        raise DataError(
            f"{table} cannot hold the class {wrong[0]!r}: it would be read as another or as no label",
            hint="rename the class; train DATA --labels PROJECT can use it as it is",
        )


@contextmanager
def open_project(folder: Path) -> Iterator[Project]:
    """The project in a folder, which is made if it is new; open while the block runs, and for one studio at a time.

    Raises SettingsError if the folder is something else, or open in another studio, and DataError if its log cannot be used.
    """
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made: {error.strerror}", hint="choose another --project") from error
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK, f"the project {folder}"))
        except SettingsError as error:
            raise SettingsError(
                f"{folder} is open in another studio", hint="open the page of that studio in a second window, or end it"
            ) from error
        yield Project(folder, stack.enter_context(LabelLog.open(folder / LABELS)))


def _check_folder(folder: Path) -> None:
    """Raises SettingsError for what is neither a project nor a place for one."""
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file, not the folder of a project", hint="choose another --project")
    if not folder.is_dir() or (folder / LABELS).exists():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name != LOCK and not is_hidden(path))
    if others:
        raise SettingsError(f"{folder} is not a project: it holds {others[0]}, but no {LABELS}", hint="name a new folder")
