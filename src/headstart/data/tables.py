"""Tables of images: CSV and Parquet, read as text, by column name."""

import codecs
import csv
import io
import re
from pathlib import Path

from headstart.errors import DataError

TABLE_ENDINGS = {".csv", ".tsv", ".parquet"}


def read_table(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Column names in lower case, and the rows as text. Raises DataError."""
    try:
        if table.suffix.lower() == ".parquet":
            return _read_parquet(table)
        data = table.read_bytes()
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text", hint="save it as CSV with UTF-8 encoding") from error
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror or error}", hint="check that it is a table") from error
    text = re.sub(r"\A(\s*\n|sep=.\r?\n)+", "", text, flags=re.IGNORECASE)  # Excel writes its delimiter before the header
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # in many languages spreadsheets write semicolons
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{table} is not a CSV table: {error}", hint="the columns are path, label, split, group") from error
    names = [name.strip().lower() for name in lines[0]] if lines else []
    return names, [dict(zip(names, (cell.strip() for cell in line), strict=False)) for line in lines[1:]]


def _read_parquet(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.read_table(table)
    except pyarrow.ArrowException as error:
        raise DataError(f"{table} is not a Parquet file: {error}", hint="write it again") from error
    names = [name.strip().lower() for name in content.column_names]
    wanted = [i for i, name in enumerate(names) if name in ("path", "label", "split", "group")]
    columns = {names[i]: ["" if v is None else str(v).strip() for v in content.column(i).to_pylist()] for i in wanted}
    return names, [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
