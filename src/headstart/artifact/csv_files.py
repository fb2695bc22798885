"""The CSV files of a run: RFC 4180 with a header, UTF-8, a decimal point, every digit kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.sources import Skipped
from headstart.model.history import Epoch
from headstart.storage import write_csv
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


def prediction_header(classes: Sequence[str]) -> list[str]:
    """The columns that name a prediction: its class, its probability, and every class's probability."""
    return ["predicted", "probability", *(f"p:{name}" for name in classes)]


def prediction_cells(
    probabilities: np.ndarray, classes: Sequence[str], task: LearningTask = SINGLE_LABEL, decided: np.ndarray | None = None
) -> list[Any]:
    """The cells under `prediction_header` for (n_classes,) probabilities; `decided` is the answer, if the task has another."""
    answer, probability = task.answer(classes, probabilities, 0.0)
    named = answer if decided is None else task.named(classes, decided)
    return [named, probability, *(float(p) for p in probabilities)]


def write_predictions(
    file: Path,
    paths: Sequence[str],
    labels: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    task: LearningTask = SINGLE_LABEL,
    decided: np.ndarray | None = None,
) -> None:
    """predictions.csv: path, label, predicted, probability, then `p:<class>` for each class.

    `decided` are the answers, if they are not those of the `task`.
    """
    rows = (
        [path, label, *prediction_cells(row, classes, task, None if decided is None else decided[i])]
        for i, (path, label, row) in enumerate(zip(paths, labels, probabilities, strict=True))
    )
    write_csv(file, ["path", "label", *prediction_header(classes)], rows)


def write_history(file: Path, history: Sequence[Epoch]) -> None:
    """history.csv: one row per epoch; epoch 0 is the fitted head."""
    write_csv(file, list(Epoch.model_fields), ([value for _, value in row] for row in history))


def write_skipped(file: Path, skipped: Sequence[Skipped]) -> None:
    """skipped.csv: every file that was not used, and why."""
    write_csv(file, ["path", "reason"], ([entry.path, entry.reason] for entry in skipped))
