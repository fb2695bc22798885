"""Labels that are numbers, as text: how they are written, and what is wrong with cells that are none."""

import math
from collections.abc import Sequence
from pathlib import Path

from headstart.data.table_labels import NUMBER
from headstart.errors import DataError

COMMA = "write decimals with a point, and thousands without a separator"
LARGEST = 1e100  # of a number: the squares of larger ones cannot be added up
ALONE = "write the number alone: a unit belongs in the name of the column; leave the cell empty if the number is not known"


def number_cells(cells: Sequence[str], rows: Sequence[int | str], table: Path | str, column: str) -> list[str]:
    """The cells of a label column that are not missing, each as `number_text` writes its number: 0.50 and .5 are the same.

    `rows` are the numbers of their rows, as people find them. Raises DataError for the first cell that is no number.
    """
    written: dict[str, str] = {}
    for cell, row in zip(cells, rows, strict=True):
        if cell not in written:
            number = number_in(cell)
            if number is None:
                raise DataError(
                    f"{table} has {shown(cell)} in row {row}, column {column!r}, which is not a number", hint=hint_for(cell)
                )
            written[cell] = number_text(number)
    return [written[cell] for cell in cells]


def number_in(text: str) -> float | None:
    """The number that a text is, as tables and folder names have it; None if it is none, or larger than LARGEST."""
    found = float(text) if NUMBER.fullmatch(text.strip()) else math.nan
    return found if abs(found) <= LARGEST else None


def number_text(number: float) -> str:
    """The shortest text that is read as the same number; whole numbers without a point."""
    text = repr(float(number) + 0.0)  # -0.0 is 0
    return text.removesuffix(".0")


def shown(cell: str) -> str:
    """A cell as messages show it."""
    return repr(cell if len(cell) <= 40 else cell[:39] + "…")


def hint_for(text: str) -> str:
    """What to do about a text that should be a number."""
    if "," in text and NUMBER.fullmatch(text.strip().replace(",", "")):
        return COMMA
    if NUMBER.fullmatch(text.strip()):
        return f"numbers go up to {LARGEST:g}: write it in a larger unit"
    return ALONE
