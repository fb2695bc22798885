"""Cells that have types, as in Parquet and JSON, in the words that a CSV would hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.data.label_sets import SEPARATOR, check_label
from headstart.errors import DataError


def text_of(value: Any, file: Path, column: str) -> str:
    """A cell; "" if there is no value. Raises DataError for lists and records."""
    if value is None or value != value:  # NaN alone is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"{int(value)}.0"
    if isinstance(value, list):
        raise DataError(
            f"the column {column!r} of {file} holds a list in each row, not text",
            hint="pass --task multi-label if it lists the labels of an image",
        )
    if isinstance(value, dict):
        raise DataError(
            f"the column {column!r} of {file} holds a record in each row, not text",
            hint="headstart needs a table of one image and one label a row",
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


def class_of(value: int | None, names: Sequence[str], file: Path, column: str) -> str:
    """The name of a class by its number; "" for none, which `datasets` writes as -1. Raises DataError."""
    if value is None or value == -1:
        return ""
    if not 0 <= value < len(names):
        raise DataError(
            f"the column {column!r} of {file} has the class {value}, but names only {len(names)}", hint="write it again"
        )
    return names[value]


def labels_of(value: Any, names: Sequence[str], file: Path, column: str) -> str:
    """A cell that lists labels, by their names or by the numbers of these `names`, as the text of several labels.

    What is missing in a list says nothing; a list that is missing is an empty one. Raises DataError.
    """
    if not isinstance(value, list):
        return text_of(value, file, column)
    said = [class_of(one, names, file, column) if names else text_of(one, file, column) for one in value]
    return SEPARATOR.join(check_label(label) for label in said if label)
