"""How far numbers are off, beside scikit-learn and in simulations."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from headstart.evaluation.number_metrics import NumberMetrics, NumbersSeen, number_metrics


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers and numbers; large answers are further off."""
    rng = np.random.default_rng([seed, n])
    answers = rng.normal(size=n)
    return answers, answers + rng.normal(size=n) * (0.1 + 0.5 * np.abs(np.clip(answers, -1.5, 1.5)))


def measured(answers: np.ndarray, numbers: np.ndarray, groups: np.ndarray | None = None) -> NumberMetrics:
    return number_metrics(answers, numbers, NumbersSeen.of(numbers), groups)


def test_metrics_are_scikit_learns() -> None:
    """R2 and the errors are those of scikit-learn; the guesses are the mean and the median of the training images."""
    answers, numbers = drawn(300, 0)
    trained = np.array([1.0, 2.0, 9.0])
    found = number_metrics(answers, numbers, NumbersSeen.of(trained))
    assert found.mean_absolute_error == pytest.approx(mean_absolute_error(numbers, answers))
    assert found.root_mean_squared_error == pytest.approx(root_mean_squared_error(numbers, answers))
    assert found.r2 == pytest.approx(r2_score(numbers, answers))
    assert found.bias == pytest.approx((answers - numbers).mean())
    assert found.mean_guess_error == pytest.approx(np.abs(numbers - 4).mean())
    assert found.median_guess_error == pytest.approx(np.abs(numbers - 2).mean())


def test_intervals_hold_the_truth() -> None:
    """In 300 sets drawn alike, the intervals hold what a very large set gives in 91 to 99 of 100."""
    truth = measured(*drawn(1_000_000, 99))
    found = [measured(*drawn(100, seed)) for seed in range(300)]
    for name in ("mean_absolute_error", "r2"):
        intervals = np.array([getattr(one, f"{name}_ci95") for one in found])
        held = (intervals[:, 0] <= getattr(truth, name)) & (getattr(truth, name) <= intervals[:, 1])
        assert 0.91 <= held.mean() <= 0.99, name


def test_images_of_one_group_widen_the_intervals() -> None:
    """Ten copies of each image say no more than one."""
    answers, numbers = drawn(60, 1)
    alone = measured(answers, numbers)
    copies = measured(np.repeat(answers, 10), np.repeat(numbers, 10), np.repeat(np.arange(60), 10))
    apart = measured(np.repeat(answers, 10), np.repeat(numbers, 10))
    for name in ("mean_absolute_error_ci95", "r2_ci95"):
        widths = [float(np.diff(getattr(one, name))[0]) for one in (alone, copies, apart)]
        assert widths[1] == pytest.approx(widths[0], rel=0.15)
        assert widths[2] < 0.5 * widths[0]


def test_few_images_and_equal_numbers() -> None:
    """No intervals for few images or groups, no R2 where all numbers are the same, and 1 where all answers are right."""
    few = measured(*drawn(19, 0))
    assert (few.mean_absolute_error_ci95, few.r2_ci95) == (None, None)
    answers, numbers = drawn(40, 0)
    assert measured(answers, numbers, np.arange(40) % 3).r2_ci95 is None
    equal = measured(answers, np.full(40, 2.5))
    assert (equal.r2, equal.r2_ci95) == (None, None)
    right = measured(numbers, numbers)
    assert (right.r2, right.r2_ci95, right.mean_absolute_error_ci95) == (1.0, (1.0, 1.0), (0.0, 0.0))
    assert NumberMetrics.from_json(few.as_json()) == few
