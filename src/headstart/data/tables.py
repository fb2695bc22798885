"""Tables of images: CSV and Parquet, read as text, column by column."""

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.wording import counted
from headstart.errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
TABLE_ENDINGS = {".csv", ".tsv", ".parquet"}
BEFORE_HEADER = re.compile(r"\A(?:\s*\n|sep=.\r?\n)+", flags=re.IGNORECASE)  # Excel writes its delimiter before the header


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table: its columns by their place, as text."""

    file: Path
    names: tuple[str, ...]  # of the columns, as written
    numbers: tuple[int, ...]  # of the rows, as people count: in a CSV row 1 is the header
    cells: Callable[[int], list[str]]  # the cells of a column, one for each number; "" where there is none. Raises DataError

    def column(self, name: str) -> list[str] | None:
        """The cells of the first column of this name, in whatever case; None if there is none. Raises DataError."""
        found = [i for i, written in enumerate(self.names) if written.lower() == name]
        return self.cells(found[0]) if found else None


def read_table(file: Path) -> TextTable:
    """The table in a file. Raises DataError, also for a row with more or fewer cells than there are columns."""
    try:
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file)
        data = file.read_bytes()
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", hint="save it as CSV with UTF-8 encoding") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", hint="check that it is a table") from error
    return _read_csv(file, text)


def _read_csv(file: Path, text: str) -> TextTable:
    before = BEFORE_HEADER.match(text)
    n_before = before[0].count("\n") if before else 0
    text = text[before.end() :] if before else text
    header = text.split("\n", 1)[0]
    delimiter = max(SEPARATORS, key=header.count)  # in many languages spreadsheets write semicolons
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV table: {error}", hint="the columns are path, label, split, group") from error
    rows = [_without_empty_end([cell.strip() for cell in line]) for line in lines]
    names = tuple(rows[0]) if rows else ()
    filled = [(number, row) for number, row in enumerate(rows[1:], start=n_before + 2) if row]
    for number, row in filled:
        n_cells = len(lines[number - n_before - 1])
        if len(row) > len(names):
            wrong, hint = len(row), f"put quotes around a cell that contains a {SEPARATORS[delimiter]}"
        elif n_cells < len(names):
            wrong, hint = n_cells, "every row needs a cell for each column, even an empty one"
        else:
            continue
        raise DataError(f"{file} row {number} has {counted(wrong, 'cell')} under {counted(len(names), 'column')}", hint=hint)
    padded = [row + [""] * (len(names) - len(row)) for _, row in filled]
    return TextTable(file, names, tuple(number for number, _ in filled), lambda i: [row[i] for row in padded])


def _without_empty_end(row: list[str]) -> list[str]:
    """A row without the empty cells at its end, as spreadsheets write them."""
    while row and not row[-1]:
        row.pop()
    return row


def _read_parquet(file: Path) -> TextTable:
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.ParquetFile(file)
        names, n_rows = tuple(content.schema_arrow.names), content.metadata.num_rows
        content.close()
    except pyarrow.ArrowException as error:
        raise DataError(f"{file} is not a Parquet file: {error}", hint="write it again") from error

    def cells(i: int) -> list[str]:
        try:
            values = pyarrow.parquet.read_table(file, columns=[names[i]]).column(0).to_pylist()
        except pyarrow.ArrowException as error:
            raise DataError(f"{file} is not a Parquet file: {error}", hint="write it again") from error
        return [_text_of(value, file, names[i]) for value in values]

    return TextTable(file, names, tuple(range(1, n_rows + 1)), cells)


def _text_of(value: Any, file: Path, column: str) -> str:
    """A cell of a typed column as a CSV would hold it. Raises DataError for lists and images."""
    if value is None or value != value:  # NaN alone is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"{int(value)}.0"
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "a record"
        raise DataError(
            f"the column {column!r} of {file} holds {kind} in each row, not text",
            hint="headstart needs a table of one path and one label a row, and the images as files",
        )
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(
                f"the column {column!r} of {file} holds bytes, not text",
                hint="write the images as files, and a table of their paths",
            ) from error
    return str(value).strip()
