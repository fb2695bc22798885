"""What the cells of a label column mean: class names, numbers that are names, and missing values."""

import re
from collections.abc import Sequence
from pathlib import Path

from headstart.data.wording import joined
from headstart.errors import DataError

# How tools write that there is no value: what pandas reads as missing, and what it, R, SQL and spreadsheets write. By spelling:
# `none` and `na` are classes, as in "no defect".
MISSING = {"None", "null", "NULL", "NA", "N/A", "n/a", "<NA>", "NaT", "\\N"}
MISSING |= {"#N/A", "#NA", "#NULL!", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!"}
NOT_A_NUMBER = re.compile(r"[-+]?nan|-?1\.#(ind|qnan)", flags=re.IGNORECASE)
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", flags=re.IGNORECASE)
WHOLE = re.compile(r"([-+]?\d+)\.0*")
MAX_FRACTIONS = 10  # different numbers, some with fractions, that may be classes; more are a measurement
SHOWN_ROWS = 10


def is_missing(cell: str) -> bool:
    """Whether a cell means that there is no value."""
    return not cell or cell in MISSING or NOT_A_NUMBER.fullmatch(cell) is not None


def class_cells(cells: Sequence[str], table: Path | str, column: str) -> list[str]:
    """The cells of a label column as class names: 1.0, as pandas writes whole numbers beside missing ones, is the class 1.

    Raises DataError if they are measurements instead.
    """
    different = set(cells)
    if not all(NUMBER.fullmatch(cell) for cell in different):
        return list(cells)
    fractions = sorted(cell for cell in different if not float(cell).is_integer())
    if not fractions:
        return [found[1] if (found := WHOLE.fullmatch(cell)) else cell for cell in cells]
    if len(different) > MAX_FRACTIONS:
        raise DataError(
            f"{table}: the column {column!r} holds {len(different)} different numbers, such as {fractions[0]}, not classes",
            hint="pass --task regression, name another column with --label-column, or write class names for ranges of them",
        )
    return list(cells)


def missing_label(table: Path, numbers: Sequence[int | str], *, are_numbers: bool = False) -> DataError:
    """The error for rows without a label, or without a number where labels are these."""
    rows = f"row {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} rows: {listed_rows(numbers)}"
    if are_numbers:
        return DataError(f"{table} has no number in {rows}", hint="give each image a number, or remove its row")
    return DataError(
        f"{table} has no label in {rows}",
        hint="give each image a label, or remove its row; a class cannot be called None or NA: call it no_defect, for example",
    )


def listed_rows(numbers: Sequence[int | str]) -> str:
    """The first numbers of rows, and how many more there are."""
    shown = [str(number) for number in numbers[:SHOWN_ROWS]]
    if len(numbers) > SHOWN_ROWS:
        return f"{', '.join(shown)} and {len(numbers) - SHOWN_ROWS} more"
    return joined(shown)
