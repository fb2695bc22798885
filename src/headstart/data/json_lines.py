"""JSON Lines as a table: an object on each line, as the metadata.jsonl of an imagefolder is."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from headstart.data.text_table import TextTable
from headstart.data.typed_cells import labels_of, text_of
from headstart.errors import DataError


def read_json_lines(file: Path, text: str) -> TextTable:
    """The table that a text holds; a key is a column, and what an object lacks is an empty cell. Raises DataError."""
    rows = {number: _object(file, number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()}
    names = tuple(dict.fromkeys(name for row in rows.values() for name in row))
    values = {i: [row.get(name) for row in rows.values()] for i, name in enumerate(names)}
    return TextTable(
        file,
        names,
        tuple(rows),
        lambda i: [text_of(value, file, names[i]) for value in values[i]],
        lists={i: partial(_labels, file, names[i], found) for i, found in values.items() if _has_lists(found)},
    )


def _object(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number or a list is too long to be read"
        raise DataError(f"{file} line {number} is not JSON: {reason}", hint="write an object on each line") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} line {number} is JSON, but no object", hint='write lines such as {"path": ..., "label": ...}')
    return found


def _has_lists(values: list[Any]) -> bool:
    return any(isinstance(value, list) for value in values)


def _labels(file: Path, column: str, values: list[Any]) -> list[str]:
    return [labels_of(value, (), file, column) for value in values]
