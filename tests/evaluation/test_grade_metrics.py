"""How far grades are off, beside scikit-learn and in simulations."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from headstart.evaluation.grade_metrics import quadratic_kappa
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.tasks.ordered_grades import OrderedGrades

GRADES = ("0", "1", "2", "3")


def evaluated(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> Evaluation:
    return evaluate_predictions(
        np.eye(4)[predicted], labels, GRADES, split="test", groups=groups, task=OrderedGrades(), with_loss_interval=False
    )


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and answers that are off by a grade now and then."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, n, p=[0.5, 0.2, 0.1, 0.2])
    return labels, np.clip(labels + rng.choice([-2, -1, 0, 0, 0, 1], n), 0, 3)


def test_metrics_are_scikit_learns() -> None:
    """Kappa and the mean absolute error are those of scikit-learn."""
    labels, predicted = drawn(300, 0)
    found = evaluated(labels, predicted).grades
    assert found is not None
    assert found.quadratic_kappa == pytest.approx(cohen_kappa_score(labels, predicted, weights="quadratic"))
    assert found.mean_absolute_error == pytest.approx(mean_absolute_error(labels, predicted))
    assert found.within_one == pytest.approx((np.abs(labels - predicted) <= 1).mean())
    assert found.guessing_error == pytest.approx(np.abs(labels - np.median(labels)).mean())


def test_intervals_hold_the_truth() -> None:
    """In 200 sets drawn alike, the intervals hold what a very large set gives in 92 to 99 of 100."""
    truth = evaluated(*drawn(200_000, 99)).grades
    found = [evaluated(*drawn(120, seed)).grades for seed in range(200)]
    assert truth is not None
    for name in ("quadratic_kappa", "mean_absolute_error", "within_one"):
        intervals = np.array([getattr(one, f"{name}_ci95") for one in found])
        held = (intervals[:, 0] <= getattr(truth, name)) & (getattr(truth, name) <= intervals[:, 1])
        assert 0.92 <= held.mean() <= 0.995, name


def test_images_of_one_group_widen_the_intervals() -> None:
    """Ten copies of each image say no more than one."""
    labels, predicted = drawn(60, 1)
    alone = evaluated(labels, predicted).grades
    copies = evaluated(np.repeat(labels, 10), np.repeat(predicted, 10), np.repeat(np.arange(60), 10)).grades
    apart = evaluated(np.repeat(labels, 10), np.repeat(predicted, 10)).grades
    assert alone is not None and copies is not None and apart is not None

    def widths(of: object) -> np.ndarray:
        return np.array([np.diff(getattr(of, f"{name}_ci95"))[0] for name in ("quadratic_kappa", "mean_absolute_error")])

    assert (widths(copies) > 0.7 * widths(alone)).all()
    assert (widths(apart) < 0.5 * widths(alone)).all()


def test_one_grade_alone_has_no_kappa_and_few_images_no_intervals() -> None:
    """Agreement beyond chance needs two grades; intervals need images."""
    assert quadratic_kappa(np.diag([7, 0, 0])) is None
    found = evaluated(np.zeros(3, int), np.zeros(3, int)).grades
    assert found is not None
    assert (found.quadratic_kappa, found.quadratic_kappa_ci95, found.mean_absolute_error_ci95) == (None, None, None)


def test_kappa_of_the_worst_answers_is_negative() -> None:
    """Answers that are always at the other end agree less than by chance."""
    assert quadratic_kappa(np.array([[0, 5], [5, 0]])) == pytest.approx(-1)
