"""What a table of labelled images means, row by row."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.data.label_sets import SEPARATOR
from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Skipped, Sources, class_name
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.table_boxes import boxes_in, form_of
from headstart.data.table_columns import path_and_label
from headstart.data.table_files import N_TRIED, CellsOfTable, FilesOfTable, TableFiles
from headstart.data.table_labels import class_cells, is_missing, missing_label
from headstart.data.table_numbers import number_cells
from headstart.data.table_rows import Row, Rows
from headstart.data.table_sets import joined_column, set_cells
from headstart.data.tables import read_table
from headstart.data.text_table import TextTable
from headstart.errors import DataError


def table_sources(file: Path, files: TableFiles, reading: Reading = AS_IT_IS, split: str | None = None) -> Sources:
    """The candidates that a table names. Raises DataError for what is missing, contradictory or not found."""
    return sources_of_table(read_table(file), files, reading, split)


def sources_of_table(table: TextTable, files: TableFiles, reading: Reading, split: str | None = None) -> Sources:
    """The candidates that a table names or holds; in a `split` if it names none. Raises DataError."""
    file = table.file
    rows, place = _rows(table, reading)
    if place in table.images:
        files = CellsOfTable(table.images[place], files.table_shown)
    if split is not None and all(row.split is None for row in rows.rows):
        rows.rows = [replace(row, split=split) for row in rows.rows]
    if not reading.takes_no_labels:
        rows.rows = _with_labels(file, rows.rows, rows.notes, are_numbers=reading.numbers)
        if split is not None and not rows.rows:  # one of several tables: what it lacks is noted
            return Sources(file.stem, (), tuple(rows.skipped), notes=tuple(rows.notes), is_table=True)
    named = [row for row in rows.rows if row.given]
    unsaid = [row.given for row in named if row.split is None]
    if unsaid and len(unsaid) < len(named):
        raise DataError(
            f"{file} gives a split for only some images; {unsaid[0]} has none", hint="fill in the column, or leave it out"
        )
    rows.skipped += [Skipped(f"{file}:{row.number}", "the row has no path") for row in rows.rows if not row.given]
    rows.rows = named
    return rows.sources(files, reading)


def joined_tables(name: str, parts: Sequence[Sources], note: str) -> Sources:
    """The images of several tables as one data set. Raises DataError if there are none."""
    candidates = tuple(one for part in parts for one in part.candidates)
    if not candidates:
        raise DataError(f"{name} has no image with a label", hint="it needs a column of images and one of labels")
    return Sources(
        name,
        candidates,
        tuple(one for part in parts for one in part.skipped),
        notes=(note, *dict.fromkeys(note for part in parts for note in part.notes)),
        is_table=True,
        has_boxes=any(part.has_boxes for part in parts),
        several=any(part.several for part in parts),
        columns=frozenset.intersection(*(part.columns for part in parts)),
    )


def names_images(file: Path, shown: ShownPaths, reading: Reading = AS_IT_IS) -> bool:
    """Whether a table has the columns of a data set, and one of its first paths is a file."""
    try:
        table = read_table(file)
        place, _ = path_and_label(table, replace(reading, with_unlabelled=False, labels_are_optional=reading.several))
        if place in table.images:
            return True
        given = [cell for cell in table.cells(place)[:N_TRIED] if cell]
        FilesOfTable(file, shown).start(given)
    except DataError:
        return False
    return bool(given)


def has_boxes(file: Path) -> bool:
    """Whether a file is a table with the columns of boxes."""
    try:
        return form_of(read_table(file), []) is not None
    except DataError:
        return False


def _rows(table: TextTable, reading: Reading) -> tuple[Rows, int]:
    """The rows of a table, and the place of the column with their images."""
    path_place, named = path_and_label(table, replace(reading, labels_are_optional=True) if reading.several else reading)
    nothing = [""] * len(table.numbers)
    about = {"split": table.column("split"), "group": table.column("group")} if not reading.without_labels else {}
    found = boxes_in(table, [path_place] if named is None else [path_place, named], reading)
    boxes = found.boxes if found else [None] * len(table.numbers)
    notes: list[str] = []
    with_column: frozenset[str] = frozenset()
    if reading.without_labels:
        labels = nothing
    elif reading.several:
        sets = set_cells(table, joined_column(table, reading, named), {path_place, *(found.places if found else ())}, notes)
        labels, with_column = sets.texts, sets.columns
    else:
        read = _numbers if reading.numbers else _class_names
        labels = nothing if named is None else read(table, named)
        notes += [] if reading.numbers else _doubts_of_several(table, labels)
    columns = [table.cells(path_place), labels, *(about.get(name) or nothing for name in ("split", "group"))]
    filled = [
        (number, cells, box) for number, *cells, box in zip(table.numbers, *columns, boxes, strict=True) if any(cells) or box
    ]
    if not filled:
        raise DataError(f"{table.file} names no image with a label", hint="it needs one row per image, with path and label")
    splits = splits_of({cells[2] for _, cells, _ in filled})
    rows = []
    for number, (given, label, split, group), box in filled:
        if not is_missing(split) and splits.get(split, UNLABELLED) == UNLABELLED:
            raise DataError(f"{table.file} row {number} has the split {split!r}", hint="a split is train, val or test")
        rows.append(Row(number, given, label, splits.get(split), None if is_missing(group) else group, box))
    number = table.names[named] if reading.numbers and named is not None and not reading.without_labels else ""
    described = found.described if found else ""
    return Rows(table.file, rows, described, notes=notes, number=number, columns=with_column), path_place


def _doubts_of_several(table: TextTable, labels: Sequence[str]) -> list[str]:
    """A note if labels look like several in one cell, which would be a class for each combination."""
    joined = next((label for label in labels if SEPARATOR in label.strip(SEPARATOR)), None)
    if joined is None:
        return []
    return [
        f"{table.file.name} has labels such as {joined!r}, each a class: pass --task multi-label if they are several labels"
    ]


def _class_names(table: TextTable, place: int) -> list[str]:
    """The cells of a label column as names of classes; "" where the label is missing. Raises DataError for measurements."""
    cells = table.cells(place)
    labelled = [cell for cell in cells if not is_missing(cell)]
    label_of = dict(zip(labelled, class_cells(labelled, table.file, table.names[place]), strict=True))
    return ["" if is_missing(cell) else class_name(label_of[cell]) for cell in cells]


def _numbers(table: TextTable, place: int) -> list[str]:
    """The cells of a label column as numbers; "" where the label is missing. Raises DataError for a cell that is none."""
    cells = table.cells(place)
    known = [i for i, cell in enumerate(cells) if not is_missing(cell)]
    found = number_cells([cells[i] for i in known], [table.numbers[i] for i in known], table.file, table.names[place])
    of_row = dict(zip(known, found, strict=True))
    return [of_row.get(i, "") for i in range(len(cells))]


def _with_labels(file: Path, rows: Sequence[Row], notes: list[str], *, are_numbers: bool) -> list[Row]:
    """The rows with labels; a val or test without any label is noted. Raises DataError if other rows lack theirs."""
    lacking = {row.split for row in rows if not row.label} - {row.split for row in rows if row.label} - {None, "train"}
    for split in sorted(filter(None, lacking)):
        n_rows = sum(row.split == split for row in rows)
        notes.append(f"{split} has no labels in {file.name}: its {n_rows} image{'s' * (n_rows != 1)} cannot be used")
    missing = [row.number for row in rows if not row.label and row.split not in lacking]
    if missing:
        raise missing_label(file, missing, are_numbers=are_numbers)
    return [row for row in rows if row.label]
