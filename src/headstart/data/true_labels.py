"""The true labels of some images, which a person looked up: a table with columns path and label."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.addresses.address import shown_place
from headstart.addresses.given_files import given_file
from headstart.data.dataset import Dataset
from headstart.data.sources import class_name
from headstart.data.spellings import class_called
from headstart.data.table_labels import class_cells, is_missing
from headstart.data.tables import read_table
from headstart.data.text_table import TextTable
from headstart.data.wording import counted
from headstart.errors import DataError


@dataclass(frozen=True, slots=True)
class TrueLabels:
    """What a table says of the images of a data set."""

    rows: np.ndarray  # (k,) int64, rising: which of the images
    labels: np.ndarray  # (k,) int64: index of the true class; -1: none of the classes
    notes: tuple[str, ...]


def read_true_labels(file: Path, dataset: Dataset, folder: str = "", *, join_case: bool = False) -> TrueLabels:
    """The labels that the table in `file` gives to images of the data set; in whatever letter case if `join_case`.

    A path is as shown, or relative to the `folder` that the data set lies in, to the table's folder or to the current one. An
    image without a label has not been looked at; a label that is no class is an image of none of the classes; paths of other
    images are counted. Raises DataError if nothing is left, or if an image has two labels.
    """
    with given_file(file) as here:
        table, shown = read_table(here), shown_place(file)
    paths, cells = _column(table, shown, "path"), class_cells(_column(table, shown, "label"), shown, "label")
    known = _rows_of(dataset, [path for path in paths if path], file.parent, folder)
    found: dict[int, str] = {}
    elsewhere, blank = [], 0
    for path, cell in zip(paths, cells, strict=True):
        if not path or is_missing(cell):
            blank += bool(path)
        elif not known[path]:
            elsewhere.append(path)
        for row in known[path] if path and not is_missing(cell) else ():
            name = class_name(cell)
            if found.setdefault(row, name) != name:
                raise DataError(
                    f"{shown} gives {path} the labels {found[row]!r} and {name!r}", hint="leave only the true one in the table"
                )
    if not found:
        raise DataError(
            f"no path in {shown} is one of the {len(dataset.images)} evaluated images"
            + (f"; the first is {elsewhere[0]}" if elsewhere else " and has a label"),
            hint="write paths as headstart shows them, and the true label of each reviewed image",
        )
    rows = np.array(sorted(found), np.int64)
    labels, unknown = _classes_of([found[row] for row in rows.tolist()], dataset, shown, join_case=join_case)
    notes = [f"{counted(blank, 'image')} in {shown} without a label: not reviewed"] if blank else []
    if elsewhere:
        paths_elsewhere = counted(len(elsewhere), "path")
        notes.append(f"{paths_elsewhere} in {shown} not among the evaluated images; the first is {elsewhere[0]}")
    return TrueLabels(rows, labels, (*notes, *unknown))


def _column(table: TextTable, shown: str, name: str) -> list[str]:
    cells = table.column(name)
    if cells is None:
        raise DataError(f"{shown} has no column {name}", hint="a review has the columns path and label, the true one")
    return cells


def _rows_of(dataset: Dataset, paths: list[str], beside: Path, folder: str) -> dict[str, list[int]]:
    """Path in the table -> the images that it names; several if links lead to one file."""
    shown: dict[str, list[int]] = {}
    for row, image in enumerate(dataset.images):
        shown.setdefault(image.path, []).append(row)
    found = {path: shown.get(path) or shown.get(folder + path, []) for path in paths}
    if not all(found.values()):
        files: dict[str, list[int]] = {}  # by name: the path of a box is that of no file
        for row, image in enumerate(dataset.images):
            files.setdefault(str(image.file.resolve()), []).append(row)
        for path in (path for path, rows in found.items() if not rows):
            places = (str((base / path).resolve()) for base in (beside, Path.cwd()))
            found[path] = next((files[place] for place in places if place in files), [])
    return found


def _classes_of(names: list[str], dataset: Dataset, shown: str, *, join_case: bool) -> tuple[np.ndarray, list[str]]:
    """The classes of these names, and notes on names that are no class. Raises DataError if none is."""
    called = {name: class_called(name, dataset.classes, join_case=join_case) for name in dict.fromkeys(names)}
    if not any(called.values()):
        raise DataError(
            f"no label in {shown} is a class of the model; the first is {names[0]!r}",
            hint=f"the model knows {', '.join(dataset.classes)}",
        )
    unknown = Counter(name for name in names if called[name] is None)
    notes = [
        f"{counted(count, 'reviewed image')} of {name!r} left out: the model does not know this class"
        for name, count in unknown.items()
    ]
    index = {name: i for i, name in enumerate(dataset.classes)}
    return np.array([index.get(called[name] or "", -1) for name in names], np.int64), notes
