"""Labels as a program has them: lists, arrays and columns, of text or numbers, one label an image."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.data.given_images import listed
from headstart.data.table_labels import MAX_FRACTIONS, is_missing, listed_rows
from headstart.data.table_numbers import LARGEST
from headstart.errors import DataError

MISSING_TYPES = {"NoneType", "NAType", "NaTType"}  # None; pandas' NA and NaT
NUMBERS, TEXT = "numbers", "text"


def given_labels(labels: Any) -> np.ndarray:
    """(n_labels,) the labels, in the type that NumPy has for them; a column (n, 1) is taken as a list is.

    Raises DataError if an image would have several labels or none, or if the labels are no classes.
    """
    values = _none_missing(labels, "; a class that is called None needs another name, such as no_defect")
    kinds = {_kind_of(value, i) for i, value in enumerate(values)}
    if len(kinds) > 1:
        raise DataError(
            "some labels are text and others are numbers", hint="make them all text: [str(label) for label in labels]"
        )
    found = np.asarray(labels).reshape(-1) if hasattr(labels, "__array__") else np.asarray(values)
    if found.dtype.kind == "T":  # NumPy's own text of any length, which scikit-learn does not know
        found = np.asarray(values)
    if kinds == {NUMBERS}:
        found = np.asarray(values) if found.dtype == object else found  # as pandas has nullable numbers
        _refuse_measurements(found.astype(float))
    return found


def given_numbers(labels: Any) -> np.ndarray:
    """(n_labels,) float64: what a program gives as numbers, in the same forms. Raises DataError for what is no number."""
    values = _none_missing(labels, "")
    for i, value in enumerate(values):
        if _kind_of(value, i) != NUMBERS:
            raise DataError(f"the label at position {i} is {value!r}, which is not a number", hint="give one number per image")
    numbers = np.array([float(value) for value in values], np.float64)
    if not (np.abs(numbers) <= LARGEST).all():
        raise DataError(f"some labels are infinite, or larger than {LARGEST:g}", hint="leave these images out")
    return numbers


def _none_missing(labels: Any, more: str) -> list[Any]:
    """The labels one by one. Raises DataError if some are missing; `more` is what else its hint says."""
    values = _one_dimension(labels)
    missing = [i for i, value in enumerate(values) if _is_missing(value)]
    if missing:
        count = "1 label is missing" if len(missing) == 1 else f"{len(missing)} labels are missing"
        positions = f"position{'s' * (len(missing) > 1)} {listed_rows(missing)}"
        raise DataError(f"{count}, at {positions}", hint=f"leave these images out or label them{more}")
    return values


def name_of_label(label: Any) -> str:
    """The name of a label's class: its text; 1.0, as pandas has whole numbers beside missing ones, is the class 1."""
    is_whole = isinstance(label, float | np.floating) and float(label).is_integer()
    return str(int(label)) if is_whole else str(label)


def _one_dimension(labels: Any) -> list[Any]:
    """The labels one by one. Raises DataError for one-hot rows, and for what is no list."""
    if isinstance(labels, str | bytes):
        raise DataError(f"the labels are one text, {labels!r}", hint="give a list with one label per image")
    if isinstance(labels, Mapping):
        raise DataError("labels is a dict, not a list", hint="give its values, in the order of the images")
    if isinstance(labels, np.ma.MaskedArray):
        labels, hidden = labels.data.astype(object), np.ma.getmaskarray(labels)
        labels[hidden] = None
    if isinstance(labels, np.ndarray) and labels.ndim != 1 and labels.shape[1:] != (1,):
        raise _several_each(labels.shape)
    items = listed(labels, "labels", "; of one-hot columns, table.idxmax(axis=1) makes one")
    values = [value.as_py() if hasattr(value, "as_py") else value for value in items]
    rows = [value for value in values if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)]
    if rows and len(rows) == len(values) and all(len(row) == 1 for row in rows):
        return [row[0] for row in rows]
    if rows:
        raise _several_each((len(values), max(map(len, rows))))
    return values


def _several_each(shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"the labels have the shape {shape}: one-hot rows, or several labels for an image",
        hint="give one label per image; labels.argmax(axis=1) makes them from one-hot rows",
    )


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):  # np.array(["a", np.nan]) and DataFrame.astype(str) make missing values text without a word
        return is_missing(value.strip())
    is_nan = isinstance(value, float | np.floating) and value != value
    return is_nan or type(value).__name__ in MISSING_TYPES or (isinstance(value, np.datetime64) and np.isnat(value))


def _kind_of(value: Any, position: int) -> str:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, int | float | np.integer | np.floating | np.bool_):
        return NUMBERS
    raise DataError(
        f"the label at position {position} is a {type(value).__name__}", hint="labels are text or whole numbers, one per image"
    )


def _refuse_measurements(numbers: np.ndarray) -> None:
    """Raises DataError for numbers that were measured: classes are few, or whole numbers."""
    different = np.unique(numbers)
    fractions = different[different != np.round(different)]
    if not np.isfinite(different).all():
        raise DataError("some labels are infinite", hint="labels are text or whole numbers")
    if len(fractions) and len(different) > MAX_FRACTIONS:
        raise DataError(
            f"the labels are {len(different)} different numbers, such as {fractions[0]:.6g}: these are no classes",
            hint="use ImageRegressor, or give a class to each range of the numbers",
        )
