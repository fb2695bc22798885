"""What a table of labelled images means: one candidate for each file, however many rows name it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.data.reading import AS_IT_IS, Reading
from headstart.data.remote_file import ImageFile
from headstart.data.shown_paths import ShownPaths
from headstart.data.sources import Candidate, Skipped, Sources, class_name
from headstart.data.spellings import spelling_key
from headstart.data.split_names import UNLABELLED, splits_of
from headstart.data.table_columns import path_and_label
from headstart.data.table_files import N_TRIED, FilesOfTable, TableFiles
from headstart.data.table_labels import class_cells, is_missing, listed_rows, missing_label
from headstart.data.tables import TextTable, read_table
from headstart.data.wording import joined
from headstart.errors import DataError


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    given: str  # the path as the table has it
    label: str  # "" if it is missing
    split: str | None
    group: str | None


def table_sources(file: Path, files: TableFiles, reading: Reading = AS_IT_IS) -> Sources:
    """The candidates that a table names. Raises DataError for what is missing, contradictory or not found."""
    table = read_table(file)
    rows = _rows(table, reading)
    notes: list[str] = []
    rows = rows if reading.takes_no_labels else _with_labels(file, rows, notes)
    named = [row for row in rows if row.given]
    unsaid = [row.given for row in named if row.split is None]
    if unsaid and len(unsaid) < len(named):
        raise DataError(
            f"{file} gives a split for only some images; {unsaid[0]} has none", hint="fill in the column, or leave it out"
        )
    skipped = [Skipped(f"{file}:{row.number}", "the row has no path") for row in rows if not row.given]
    note = files.start([row.given for row in named])
    notes += [note] if note else []
    of_file: dict[ImageFile, list[_Row]] = {}
    for row in named:
        place = files.find(row.given)
        if files.stays_inside(place):
            of_file.setdefault(place, []).append(row)
        else:
            skipped.append(Skipped(files.shown(row.given, place), "its path leads out of the archive"))
    key = spelling_key if reading.join_case else str
    candidates: list[Candidate] = []
    for place, its_rows in of_file.items():
        given = its_rows[0].given
        path = files.shown(given, place)
        skipped += _repeats(path, its_rows, key)
        _check_splits(file, its_rows)
        labels = {key(row.label): row.label for row in reversed(its_rows) if row.label}
        if len(labels) < 2:
            first = its_rows[0]
            candidates.append(Candidate(path, place, next(iter(labels.values()), None), first.split, first.group))
    n_conflicts = sum(entry.kind == "conflict" for entry in skipped)
    if n_conflicts:
        images = (
            "1 image is labelled as two classes" if n_conflicts == 1 else f"{n_conflicts} images are labelled as two classes"
        )
        notes.append(f"{images} by different rows of {file.name}: left out")
    if not candidates:
        raise DataError(f"{file} names no image with a label", hint="it needs one row per image, with path and label")
    return Sources(file.stem, tuple(candidates), tuple(skipped), notes=tuple(notes), is_table=True)


def names_images(file: Path, shown: ShownPaths, reading: Reading = AS_IT_IS) -> bool:
    """Whether a table has the columns of a data set, and one of its first paths is a file."""
    try:
        table = read_table(file)
        place, _ = path_and_label(table, replace(reading, with_unlabelled=False, labels_are_optional=False))
        given = [cell for cell in table.cells(place)[:N_TRIED] if cell]
        FilesOfTable(file, shown).start(given)
    except DataError:
        return False
    return bool(given)


def _rows(table: TextTable, reading: Reading) -> list[_Row]:
    path_place, label_place = path_and_label(table, reading)
    columns = [table.cells(path_place), [""] * len(table.numbers) if label_place is None else table.cells(label_place)]
    columns += [table.column(name) or [""] * len(table.numbers) for name in ("split", "group")]
    filled = [(number, *cells) for number, *cells in zip(table.numbers, *columns, strict=True) if any(cells)]
    if not filled:
        raise DataError(f"{table.file} names no image with a label", hint="it needs one row per image, with path and label")
    splits = splits_of({split for *_, split, _ in filled})
    labelled = [label for _, _, label, _, _ in filled if not is_missing(label)]
    column = "" if label_place is None else table.names[label_place]
    label_of = dict(zip(labelled, class_cells(labelled, table.file, column), strict=True))
    rows = []
    for number, given, label, split, group in filled:
        if not is_missing(split) and splits.get(split, UNLABELLED) == UNLABELLED:
            raise DataError(f"{table.file} row {number} has the split {split!r}", hint="a split is train, val or test")
        named = "" if is_missing(label) else class_name(label_of[label])
        rows.append(_Row(number, given, named, splits.get(split), None if is_missing(group) else group))
    return rows


def _with_labels(file: Path, rows: Sequence[_Row], notes: list[str]) -> list[_Row]:
    """The rows with labels; a val or test without any label is noted. Raises DataError if other rows lack theirs."""
    lacking = {row.split for row in rows if not row.label} - {row.split for row in rows if row.label} - {None, "train"}
    for split in sorted(filter(None, lacking)):
        n_rows = sum(row.split == split for row in rows)
        notes.append(f"{split} has no labels in {file.name}: its {n_rows} image{'s' * (n_rows != 1)} cannot be used")
    missing = [row.number for row in rows if not row.label and row.split not in lacking]
    if missing:
        raise missing_label(file, missing)
    return [row for row in rows if row.label]


def _repeats(path: str, rows: Sequence[_Row], key: Callable[[str], str]) -> list[Skipped]:
    """What is told of a file that several rows name."""
    if len(rows) == 1:
        return []
    labels = list({key(row.label): row.label for row in reversed(rows) if row.label}.values())[::-1]
    numbers = listed_rows([row.number for row in rows])
    if len(labels) > 1:
        return [Skipped(path, f"it is labelled {joined([repr(label) for label in labels])} (rows {numbers})", kind="conflict")]
    return [Skipped(path, f"rows {numbers} name the same file: it is used once", kind="repeated")]


def _check_splits(file: Path, rows: Sequence[_Row]) -> None:
    first = rows[0]
    for row in rows[1:]:
        if row.split != first.split:
            raise DataError(
                f"{file} has {first.given} in {first.split or 'no split'} (row {first.number}) "
                f"and in {row.split or 'no split'} (row {row.number})",
                hint="an image can be in one split only: remove one of the rows",
            )
