"""The reported metrics of a model whose answers are numbers."""

from typing import Literal

import numpy as np

from headstart.evaluation.metrics import EvaluationFrame
from headstart.evaluation.number_intervals import IntervalsKept, NumberIntervals, intervals_kept
from headstart.evaluation.number_metrics import NumberMetrics, NumbersSeen, number_metrics


class NumberEvaluation(EvaluationFrame):
    """The metrics of a model on one split, as an Evaluation has those of classes."""

    numbers: NumberMetrics
    intervals: IntervalsKept | None = None  # None: the model has none, or they were set on these images

    @property
    def is_uneven(self) -> bool:
        """Numbers have no classes of which some could be small."""
        return False


def evaluate_numbers(
    predicted: np.ndarray,
    numbers: np.ndarray,
    seen: NumbersSeen,
    *,
    split: Literal["val", "test", "cv", "all"],
    groups: np.ndarray,
    selected_on: bool = False,
    views_chosen_on: int = 0,
    intervals: NumberIntervals | None = None,
) -> NumberEvaluation:
    """Metrics of (n,) predicted numbers against the (n,) true ones, n at least 1; images of one of the (n,) groups are related.

    `intervals` are those that are to be checked: they must not have been set on these images.
    """
    return NumberEvaluation(
        split=split,
        n=len(numbers),
        n_groups=len(np.unique(groups)),
        selected_on=selected_on or views_chosen_on > 0,
        views_chosen_on=views_chosen_on,
        numbers=number_metrics(predicted, numbers, seen, groups),
        intervals=None if intervals is None else intervals_kept(intervals.around(predicted), numbers, groups),
    )
