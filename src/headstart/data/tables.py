"""Tables of images: CSV, JSON Lines and Parquet, read as text, column by column."""

import codecs
import csv
import io
import re
from pathlib import Path

from headstart.data.json_lines import read_json_lines
from headstart.data.parquet_tables import read_parquet
from headstart.data.text_table import TextTable
from headstart.data.wording import counted
from headstart.errors import DataError

JSON_LINES = ".jsonl"
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
TABLE_ENDINGS = {".csv", ".tsv", JSON_LINES, ".parquet"}
BEFORE_HEADER = re.compile(r"\A(?:\s*\n|sep=.\r?\n)+", flags=re.IGNORECASE)  # Excel writes its delimiter before the header


def read_table(file: Path) -> TextTable:
    """The table in a file. Raises DataError, also for a row with more or fewer cells than there are columns."""
    try:
        if file.suffix.lower() == ".parquet":
            return read_parquet(str(file))
        data = file.read_bytes()
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", hint="save it with UTF-8 encoding") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", hint="check that it is a table") from error
    return read_json_lines(file, text) if file.suffix.lower() == JSON_LINES else _read_csv(file, text)


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
