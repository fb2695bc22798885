"""Several labels an image as a program has them: a matrix of 0 and 1 as scikit-learn has it, a data frame, lists of names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.given_images import listed
from headstart.data.label_sets import LabelSet, check_label
from headstart.errors import DataError

HINT = "give a matrix of 0 and 1 with a row for each image, or for each image a list of the names of its labels"


@dataclass(frozen=True, slots=True)
class GivenLabelSets:
    """The labels of some images."""

    names: np.ndarray  # (n_labels,) of the labels: text, or the numbers of the columns
    texts: tuple[str, ...]  # of each image, as the text of a LabelSet

    @property
    def are_columns(self) -> bool:
        """Whether the labels have no names but their places in a matrix."""
        return self.names.dtype.kind in "iu"


def given_label_sets(labels: Any, names: Sequence[str] | None = None) -> GivenLabelSets:
    """The labels: of (n, n_labels) 0 and 1, NaN or -1 where it is not known; or of n collections of names.

    A data frame gives the names of its columns; those of a plain matrix are `names`, else their numbers. Raises DataError.
    """
    if isinstance(labels, str | bytes | Mapping):
        raise DataError("the labels are not a list", hint=HINT)
    if hasattr(labels, "columns") and hasattr(labels, "to_numpy"):
        return _of_matrix(labels.to_numpy(), np.array([str(name) for name in labels.columns]))
    if hasattr(labels, "toarray"):  # a sparse matrix
        labels = labels.toarray()
    of_columns = None if names is None else np.array(names, dtype=str)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf":
        return _of_matrix(labels, of_columns)
    rows = list(listed(labels, "labels", ""))
    if rows and all(isinstance(row, list | tuple | np.ndarray) and len(row) and _are_numbers(row) for row in rows):
        return _of_matrix(np.array([list(row) for row in rows]), of_columns)
    return _of_names(rows)


def _are_numbers(row: Any) -> bool:
    return all(isinstance(value, int | float | np.integer | np.floating | np.bool_) for value in row)


def _of_matrix(matrix: np.ndarray, names: np.ndarray | None) -> GivenLabelSets:
    if matrix.ndim != 2 or matrix.shape[1] < 2 or (names is not None and len(names) != matrix.shape[1]):
        raise DataError(f"the labels have the shape {matrix.shape}", hint=HINT)
    try:
        values = matrix.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("the labels are not 0 and 1", hint=HINT) from error
    unknown = np.isnan(values) | (values == -1)
    if not (unknown | (values == 0) | (values == 1)).all():
        raise DataError("the labels are not 0 and 1 (or -1 or NaN where it is not known)", hint=HINT)
    of_columns = np.arange(matrix.shape[1]) if names is None else names
    texts = [check_label(str(name)) for name in of_columns]
    return GivenLabelSets(
        of_columns,
        tuple(
            LabelSet(
                frozenset(texts[i] for i in np.flatnonzero(row == 1)), frozenset(texts[i] for i in np.flatnonzero(hidden))
            ).text
            for row, hidden in zip(values, unknown, strict=True)
        ),
    )


def _of_names(rows: list[Any]) -> GivenLabelSets:
    sets = []
    for position, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Collection) or not all(isinstance(name, str) for name in row):
            raise DataError(f"the labels at position {position} are {row!r}", hint=HINT)
        sets.append(frozenset(check_label(name.strip()) for name in row))
    names = sorted({name for one in sets for name in one})
    return GivenLabelSets(np.array(names, dtype=str), tuple(LabelSet(one).text for one in sets))
