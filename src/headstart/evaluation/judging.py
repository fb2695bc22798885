"""Metrics of answers, whatever kind of answers they are."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from headstart.evaluation.label_metrics import evaluate_label_sets
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

AnyEvaluation = Evaluation | NumberEvaluation


def evaluate_answers(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    split: Literal["val", "test", "cv", "all"],
    groups: np.ndarray | None = None,
    selected_on: bool = False,
    views_chosen_on: int = 0,
    task: LearningTask = SINGLE_LABEL,
    decided: np.ndarray | None = None,
) -> Evaluation:
    """Metrics of (n, n_classes) probabilities against what `Dataset.labels` has for n images; n is at least 1.

    `decided` are the answers, if they are not those that the `task` makes of the probabilities: of several labels each fold has
    its own thresholds. See `evaluate_predictions` and `evaluate_label_sets`.
    """
    if isinstance(task, SeveralLabels):
        return evaluate_label_sets(
            probabilities,
            labels,
            classes,
            task,
            split=split,
            groups=groups,
            selected_on=selected_on,
            views_chosen_on=views_chosen_on,
            decided=decided,
        )
    return evaluate_predictions(
        probabilities,
        labels,
        classes,
        split=split,
        groups=groups,
        selected_on=selected_on,
        views_chosen_on=views_chosen_on,
        task=task,
    )
