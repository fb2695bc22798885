"""The images that a run was evaluated on, found again from the paths in its predictions.csv.

These are the paths as given to `train`: relative ones begin in the folder it was started in, which metrics.json names
(`working_folder`), and archive members are `set.zip!a/b.jpg`, images in Parquet files `train.parquet!12/b.jpg`.
"""

import csv
import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.data.archives import is_archive
from headstart.data.boxes import boxes_in_name
from headstart.data.found_images import find_images
from headstart.data.images import UnreadableImage, read_bytes
from headstart.data.parquet_files import ENDING as PARQUET
from headstart.data.sources import Candidate, class_name, printable
from headstart.errors import DataError
from headstart.storage import sha256_of_bytes

PREDICTIONS, METRICS, WORKING_FOLDER = "predictions.csv", "metrics.json", "working_folder"


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image of a run, unchanged since."""

    path: str  # as predictions.csv has it
    label: str
    data: bytes


def evaluated_images(run: Path, known: Collection[str]) -> Iterator[RunImage]:
    """The images of predictions.csv in the folder `run` whose SHA-256 is among `known`, in random order.

    Images that are gone or were changed are left out. Without a predictions.csv there are none.
    """
    rows = _rows(run)
    with ExitStack() as stack:
        places = _Places((Path(), *_working_folder(run)), stack)
        for i in np.random.default_rng(0).permutation(len(rows)):
            path, label = rows[i]
            data = next((data for data in places.contents(path) if sha256_of_bytes(data) in known), None)
            if data is not None:
                yield RunImage(path, label, data)


def class_roots(model: Path) -> set[Path]:
    """The folders that contain the class folders of a run's images, if these are still there; `model` is the run or in it."""
    run = model if (model / PREDICTIONS).is_file() else model.parent
    found = set()
    for path, label in _rows(run):
        folder = next((parent for parent in Path(path).parents if class_name(parent.name) == label), None)
        if folder is not None:
            found |= {start / folder.parent for start in (Path(), *_working_folder(run)) if (start / path).is_file()}
    return found


def predicted_rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's predictions.csv by its columns; none without one."""
    if not (run / PREDICTIONS).is_file():
        return []
    with (run / PREDICTIONS).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _rows(run: Path) -> list[tuple[str, str]]:
    """Path and label of each image in a run's predictions.csv; none without one."""
    return [(row.get("path") or "", row.get("label") or "") for row in predicted_rows(run)]


def archives_of(run: Path) -> set[Path]:
    """The archives and Parquet files that a run's images were in, if these are still there."""
    starts = (Path(), *_working_folder(run))
    named = {path.partition("!")[0] for path, _ in _rows(run) if "!" in path}
    return {start / name for name in named for start in starts if _holds_images(start / name)}


def _holds_images(file: Path) -> bool:
    """Whether a file may hold images, by which paths with a "!" begin: an archive or a Parquet file."""
    return is_archive(file) or (file.suffix.lower() == PARQUET and file.is_file())


def _working_folder(run: Path) -> tuple[Path, ...]:
    """The folder that the run was started in; none for a run of an earlier version."""
    try:
        found = json.loads((run / METRICS).read_text(encoding="utf-8"))[WORKING_FOLDER]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return (Path(found),) if isinstance(found, str) else ()


@dataclass(frozen=True, slots=True)
class _Places:
    """Where paths are looked for, and the archives opened on the way: each once, until `stack` closes."""

    folders: tuple[Path, ...]
    stack: ExitStack
    archives: dict[Path, dict[str, Candidate]] = field(default_factory=dict)  # archive -> member's name -> member

    def contents(self, path: str) -> Iterator[bytes]:
        """The bytes of each file or archive member that `path` may stand for, or of a box in one."""
        yield from self._files(path)
        picture, boxes = boxes_in_name(path)
        if boxes:
            yield from (box.mark + data for data in self._files(picture) for box in boxes)

    def _files(self, path: str) -> Iterator[bytes]:
        for folder in self.folders:
            try:
                if (file := folder / path).is_file():
                    yield read_bytes(file)
                elif (member := self._member(folder, path)) is not None:
                    yield member.read()
            except UnreadableImage:  # not the image that the run had read
                continue

    def _member(self, folder: Path, path: str) -> Candidate | None:
        parts = path.split("!")
        for n in range(1, len(parts)):  # a folder's name may hold a "!" as well
            archive = folder / "!".join(parts[:n])
            if archive not in self.archives:
                self.archives[archive] = self._members(archive)
            if (member := self.archives[archive].get("!".join(parts[n:]))) is not None:
                return member
        return None

    def _members(self, archive: Path) -> dict[str, Candidate]:
        if not _holds_images(archive):
            return {}
        try:
            members = find_images(self.stack, [archive]).candidates
        except DataError:  # it can no longer be opened: its images are not found
            return {}
        return {member.path.removeprefix(f"{printable(str(archive))}!"): member for member in members}
