"""Which columns of a table hold several labels an image, and what their cells mean."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from headstart.data.label_sets import SEPARATOR, LabelSet, check_label
from headstart.data.reading import Reading
from headstart.data.sources import class_name
from headstart.data.table_columns import SET_NAMES
from headstart.data.table_labels import is_missing
from headstart.data.table_numbers import shown
from headstart.data.text_table import TextTable
from headstart.data.wording import counted, first_of, listed
from headstart.errors import DataError

YES, NO = {"1", "1.0", "true", "yes", "y"}, {"0", "0.0", "false", "no", "n"}
NOT_LABELS = {"split", "group"}
OTHER_SEPARATORS = (",", ";")


@dataclass(frozen=True, slots=True)
class SetCells:
    """The labels in a table."""

    texts: list[str]  # of each row, as the text of a LabelSet
    columns: frozenset[str] = frozenset()  # the labels that have a column; none where the rows list theirs


def set_cells(table: TextTable, joined: int | None, taken: Collection[int], notes: list[str]) -> SetCells:
    """The labels of each row, from the column `joined` or, if that is None, from a column a label.

    Columns that are `taken` hold something else. What the owner should know is added to `notes`. Raises DataError.
    """
    columns = _label_columns(table, taken, notes) if joined is None else {}
    sets = _from_columns(columns, len(table.numbers)) if joined is None else _from_one(table, joined)
    n_without = sum(not found.labels and not found.unknown for found in sets)
    if n_without:
        notes.append(
            f"{counted(n_without, 'row')} of {table.file.name} {'has' if n_without == 1 else 'have'} no label: "
            "images with none of the labels"
        )
    return SetCells([found.text for found in sets], frozenset(columns))


def _from_one(table: TextTable, place: int) -> list[LabelSet]:
    """From cells such as `cat|dog`; an empty one is an image without any label."""
    cells = table.label_cells(place)
    other = next((mark for mark in OTHER_SEPARATORS if sum(mark in cell for cell in cells) > len(cells) / 10), None)
    if other is not None and not any(SEPARATOR in cell for cell in cells):
        raise DataError(
            f"{table.file}: the column {table.names[place]!r} seems to separate labels by {other!r}",
            hint=f"separate them by {SEPARATOR}, as in cat{SEPARATOR}dog",
        )
    found = []
    for number, cell in zip(table.numbers, cells, strict=True):
        try:
            read = LabelSet.of("" if is_missing(cell) else cell)
        except DataError as error:
            raise DataError(f"{table.file} row {number}: {error.message}", hint=error.hint) from error
        found.append(LabelSet(frozenset(map(class_name, read.labels)), frozenset(map(class_name, read.unknown))))
    return found


def _label_columns(table: TextTable, taken: Collection[int], notes: list[str]) -> dict[str, Sequence[str]]:
    """Label -> the cells of its column: 1 if an image has it, 0 if not, empty if that is not known."""
    labels: dict[str, Sequence[str]] = {}
    others, empty = [], []
    for place, name in enumerate(table.names):
        if place in taken or name.lower() in NOT_LABELS:
            continue
        cells = ["" if is_missing(cell) else cell.lower() for cell in table.cells(place)]
        if not any(cells):
            empty += [name] * bool(name)
        elif set(cells) <= YES | NO | {""}:
            if not name:
                raise DataError(
                    f"column {place + 1} of {table.file} holds 0 and 1, but has no name", hint="name it after its label"
                )
            label = check_label(class_name(name))
            if label in labels:
                raise DataError(f"{table.file} has two columns called {label!r}", hint="rename one of them")
            labels[label] = cells
        else:
            if name:  # without a name it is the index that pandas writes
                others.append(_with_first_other(table, name, cells))
    if not labels:
        raise DataError(
            f"{table.file} has neither a column of labels nor a column of 0 and 1 for each label; it has {listed(table.names)}"
            + (f"; not 0 and 1: {first_of(others)}" if others else ""),
            hint="call a column with cells such as cat|dog labels, or name it with --label-column",
        )
    if others:
        notes.append(f"{first_of(others)} of {table.file.name} {'is' if len(others) == 1 else 'are'} not 0 and 1: no labels")
    if empty:
        notes.append(f"{listed(empty)} of {table.file.name} {'is' if len(empty) == 1 else 'are'} empty: no labels")
    return labels


def _from_columns(labels: Mapping[str, Sequence[str]], n_rows: int) -> list[LabelSet]:
    return [
        LabelSet(
            frozenset(name for name, cells in labels.items() if cells[row] in YES),
            frozenset(name for name, cells in labels.items() if not cells[row]),
        )
        for row in range(n_rows)
    ]


def _with_first_other(table: TextTable, name: str, cells: Sequence[str]) -> str:
    """A column as people find what is not 0 and 1 in it."""
    number, cell = next(
        (number, cell) for number, cell in zip(table.numbers, cells, strict=True) if cell not in YES | NO | {""}
    )
    return f"{name!r} (row {number}: {shown(cell)})"


def joined_column(table: TextTable, reading: Reading, place: int | None) -> int | None:
    """The column of texts such as `cat|dog`: one that is named, `labels`, or the usual `place`; None if there is none."""
    if reading.label_column is not None:
        return place
    named = [i for i, name in enumerate(table.names) if name.lower() in SET_NAMES]
    return named[0] if named else place
