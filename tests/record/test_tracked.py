"""What trackers of experiments are told of a run."""

import numpy as np
import pytest

from headstart.evaluation.metrics import evaluate_predictions
from headstart.evaluation.number_evaluation import evaluate_numbers
from headstart.evaluation.number_intervals import number_intervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.record.tracked import evaluation_numbers
from headstart.tasks.nested_classes import NestedClasses
from headstart.tasks.ordered_grades import OrderedGrades
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

CLASSES = ("a/b", "a/c", "d")
TASKS = {"single label": SINGLE_LABEL, "grades": OrderedGrades(), "tree": NestedClasses().knowing(CLASSES)}


@pytest.mark.parametrize("kind", TASKS)
def test_all_numbers_of_any_kind_of_answer_are_told(kind: str) -> None:
    """With the bounds of their intervals: those of grades and of the levels of a tree too, and none of single classes."""
    task: LearningTask = TASKS[kind]
    labels = np.arange(60) % 3
    probabilities = np.eye(3)[np.where(np.arange(60) < 50, labels, 0)] * 0.7 + 0.1
    evaluation = evaluate_predictions(probabilities, labels, CLASSES, split="test", task=task)
    found = evaluation_numbers("evaluation", evaluation)
    assert found["evaluation/images"] == 60 and found["evaluation/accuracy"] == evaluation.accuracy < 1
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
        interval = getattr(evaluation, f"{name}_ci95")
        assert (found[f"evaluation/{name}_low"], found[f"evaluation/{name}_high"]) == interval
    if evaluation.grades:
        assert found["evaluation/grades/quadratic_kappa"] == evaluation.grades.quadratic_kappa
        assert found["evaluation/grades/mean_absolute_error_high"] == evaluation.grades.mean_absolute_error_ci95[1]
    if evaluation.tree:
        first = evaluation.tree.levels[0]
        assert found["evaluation/tree/levels/1/accuracy"] == first.accuracy > evaluation.accuracy
        assert found["evaluation/tree/levels/1/accuracy_low"] == first.accuracy_ci95[0]
        assert found["evaluation/tree/mean_distance"] == evaluation.tree.mean_distance
    assert (kind == "grades") == any("/grades/" in name for name in found)
    assert not [name for name in found if "per_class" in name or "confusion" in name]


def test_all_numbers_of_a_model_of_numbers_are_told() -> None:
    """Under the names that metrics.json has, with the bounds of their intervals."""
    truth = np.random.default_rng(0).normal(200, 30, 80)
    predicted = truth + np.random.default_rng(1).normal(0, 5, 80)
    intervals = number_intervals(predicted, truth, 0.9, np.arange(80))
    seen, groups = NumbersSeen.of(truth), np.arange(80)
    evaluation = evaluate_numbers(predicted, truth, seen, split="test", groups=groups, intervals=intervals)
    found = evaluation_numbers("evaluation", evaluation)
    measured = evaluation.numbers
    assert found["evaluation/images"] == 80
    for name in ("mean_absolute_error", "mean_guess_error", "median_guess_error", "root_mean_squared_error", "r2", "bias"):
        assert found[f"evaluation/numbers/{name}"] == getattr(measured, name)
    for name in ("mean_absolute_error", "r2"):
        low, high = (found[f"evaluation/numbers/{name}_{bound}"] for bound in ("low", "high"))
        assert (low, high) == getattr(measured, f"{name}_ci95")
    assert evaluation.intervals is not None and found["evaluation/intervals/coverage"] == evaluation.intervals.coverage
