"""Answers as lines of text, and as the cells of a table."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Literal, TextIO

import numpy as np

from headstart.apps.console import json_line, on_one_line
from headstart.artifact.csv_files import prediction_header
from headstart.artifact.number_words import number_with_interval
from headstart.artifact.predictor import UNSURE, Prediction, Predictor
from headstart.tasks.one_number import Numbers

Format = Literal["table", "csv", "jsonl", "parquet"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table of answers: a model's classes, and what it reports besides probabilities."""

    classes: tuple[str, ...]
    has_sets: bool
    has_familiarity: bool
    has_numbers: bool = False  # whether answers are numbers
    has_intervals: bool = False  # around these

    @classmethod
    def of(cls, predictor: Predictor) -> "Columns":
        """The columns for a model's answers."""
        doubts = predictor.doubts
        return cls(
            predictor.classes,
            doubts.min_probability is not None,
            doubts.familiarity is not None,
            isinstance(predictor.task, Numbers),
            doubts.intervals is not None,
        )

    @property
    def names(self) -> list[str]:
        """path, predicted, probability, `p:<class>` for each class, perhaps set and unfamiliar, error.

        Of numbers path, predicted, perhaps low and high, the ends of the interval, perhaps unfamiliar, error.
        """
        doubts = [*(["set"] if self.has_sets else []), *(["unfamiliar"] if self.has_familiarity else [])]
        told = ["predicted", *(["low", "high"] if self.has_intervals else [])]
        return ["path", *(told if self.has_numbers else prediction_header(self.classes)), *doubts, "error"]

    def cells(self, prediction: Prediction) -> list[Any]:
        """The cells under `names`: text, numbers, a tuple for the set, a bool for unfamiliar, None for missing values."""
        if prediction.probabilities is None:
            return [prediction.path, *[None] * (len(self.names) - 2), prediction.error]
        doubts = [*([prediction.members] if self.has_sets else []), *([prediction.unfamiliar] if self.has_familiarity else [])]
        if self.has_numbers:
            ends = (prediction.ends or (None, None)) if self.has_intervals else ()
            return [prediction.path, prediction.value, *ends, *doubts, None]
        numbers = [prediction.probability, *prediction.probabilities.tolist()]
        return [prediction.path, prediction.predicted, *numbers, *doubts, None]


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What a file of answers already contains."""

    paths: Counter[str] = field(default_factory=Counter)  # each path as often as it was given
    n_failed: int = 0  # rows with an error
    n_bytes: int = 0  # of complete rows of text
    is_torn: bool = False  # whether anything follows them


class AnswerLog:
    """Takes the answers for files that have none yet, and counts all answers."""

    def __init__(self, write: Callable[[Prediction], None], kept: KeptRows | None = None) -> None:
        kept = kept or KeptRows()
        self._write = write
        self._kept = kept.paths
        self.n_read = kept.paths.total() - kept.n_failed  # files that could be read
        self.n_failed = kept.n_failed
        self.n_new, self.n_new_read = 0, 0  # of these, in this run
        self.n_passed = 0  # files that were asked for and had an answer already

    @property
    def n_rows(self) -> int:
        """Number of all answers."""
        return self.n_read + self.n_failed

    def lacks(self, path: str) -> bool:
        """Whether a file with this path still needs an answer; a path that is given twice needs two."""
        if not self._kept[path]:
            return True
        self._kept[path] -= 1
        self.n_passed += 1
        return False

    def write(self, prediction: Prediction) -> None:
        """Adds an answer."""
        self._write(prediction)
        is_read = prediction.probabilities is not None
        self.n_new += 1
        self.n_new_read += is_read
        self.n_read += is_read
        self.n_failed += not is_read


class TextRows:
    """Writes answers as lines to a stream, and flushes each line at once."""

    def __init__(self, file: TextIO, format: Format, columns: Columns, top_k: int) -> None:
        self._file, self._format, self._columns, self._top_k = file, format, columns, top_k
        self._csv = csv.writer(file, lineterminator="\n")
        self._quoted_csv = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write_header(self) -> None:
        """Writes the names of the columns, if the format has them."""
        if self._format == "csv":
            self._csv.writerow(self._columns.names)

    def write(self, prediction: Prediction) -> None:
        """Writes a line, or in CSV a row whose cells may contain line breaks."""
        if self._format == "csv":
            cells = [_as_csv(cell) for cell in self._columns.cells(prediction)]
            # csv does not quote a carriage return, which its own reader takes for the end of the row.
            is_broken = any("\r" in cell for cell in cells if isinstance(cell, str))
            (self._quoted_csv if is_broken else self._csv).writerow(cells)
        elif self._format == "jsonl":
            self._file.write(json_line(as_json(prediction, self._top_k), self._file) + "\n")
        else:
            self._file.write(on_one_line(_as_line(prediction, self._top_k)) + "\n")
        self._file.flush()


def as_json(prediction: Prediction, top_k: int) -> dict[str, Any]:
    """The answer as JSON values, with the most probable classes if more than one is asked for."""
    values = prediction.as_json()
    if top_k > 1 and prediction.probabilities is not None and prediction.value is None:
        values["top"] = [{"class": name, "probability": share} for name, share in _top(prediction, top_k)]
    return values


def _as_csv(cell: Any) -> Any:
    """The cell as CSV has it; a set of classes becomes a JSON list."""
    if isinstance(cell, tuple):
        return dumps(cell, ensure_ascii=False)
    return str(cell).lower() if isinstance(cell, bool) else "" if cell is None else cell


def _as_line(prediction: Prediction, top_k: int) -> str:
    if prediction.probabilities is None:
        return f"{'cannot be read':<24}  {prediction.path}: {prediction.error}"
    if prediction.value is not None:
        answers = f"{number_with_interval(prediction)}{'  unfamiliar' if prediction.unfamiliar else ''}"
        return f"{answers:<24}  {prediction.path}"
    shown = _shown(prediction, top_k)
    answers = "  ".join(f"{name} {share:.1%}" for name, share in shown) or "none of the labels"
    if prediction.unsure:
        answers = f"{UNSURE} ({answers})"
    if prediction.members is not None:
        answers += f"  {{{', '.join(prediction.members)}}}"
    if prediction.unfamiliar:
        answers += "  unfamiliar"
    return f"{answers:<24}  {prediction.path}"


def _shown(prediction: Prediction, top_k: int) -> list[tuple[str, float]]:
    """The answer and as many other classes as are asked for, with probabilities; of several labels all that are said."""
    if prediction.labels is not None and prediction.probabilities is not None:
        shares = dict(zip(prediction.classes, prediction.probabilities.tolist(), strict=True))
        named = [*prediction.labels, *(name for name, _ in _top(prediction, top_k) if name not in prediction.labels)]
        return [(name, shares[name]) for name in named[: max(len(prediction.labels), top_k if top_k > 1 else 0)]]
    others = [one for one in _top(prediction, top_k) if one[0] != prediction.best]
    return [(prediction.best, prediction.probability), *others[: top_k - 1]]


def _top(prediction: Prediction, top_k: int) -> Iterator[tuple[str, float]]:
    shares = prediction.probabilities
    for i in [] if shares is None else np.argsort(-shares, kind="stable")[:top_k]:
        yield prediction.classes[i], float(shares[i]) if shares is not None else 0.0
