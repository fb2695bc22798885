"""Differences of scores of two models on the same images."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from headstart.evaluation.intervals import mean_interval
from headstart.evaluation.paired_scores import error_change, judged_labels, precision_change


def drawn(rng: np.random.Generator, n: int, better: float, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of n images, and the scores of a model and of one that is better; both see mostly the same."""
    labels = (rng.random((n, 3)) < 0.3).astype(np.int8)
    seen = labels * apart + rng.normal(size=labels.shape)
    before, after = (seen + gain * labels + 0.3 * rng.normal(size=labels.shape) for gain in (0.0, better))
    return labels, before, after


def test_the_interval_of_a_precision_covers() -> None:
    """The true difference, known from very many images, is inside as often as it should be, for few and many images."""
    rng = np.random.default_rng(0)
    for better, apart in ((0.0, 1.5), (0.3, 1.5), (0.0, 2.5)):
        labels, before, after = drawn(rng, 100_000, better, apart)
        true = average_precision_score(labels, after) - average_precision_score(labels, before)
        for n in (40, 150):
            inside = 0
            for _ in range(100):
                labels, before, after = drawn(rng, n, better, apart)
                change = precision_change(after, before, labels, np.arange(n))
                assert change.ci95 is not None
                inside += change.ci95[0] <= true <= change.ci95[1]
            assert inside >= 89


def test_precisions_are_those_of_scikit_learn() -> None:
    """What is not known does not count, and the sign is that of after minus before."""
    labels, before, after = drawn(np.random.default_rng(1), 300, 0.8)
    labels[:50, 1] = -1
    change = precision_change(after, before, labels, np.arange(300))
    expected = [
        np.mean([average_precision_score(labels[labels[:, i] >= 0, i], of[labels[:, i] >= 0, i]) for i in range(3)])
        for of in (after, before)
    ]
    assert change.change == pytest.approx(expected[0] - expected[1])
    assert change.is_shown and change.change > 0
    worse = precision_change(before, after, labels, np.arange(300))
    assert worse.is_shown and worse.change == pytest.approx(-change.change)
    grouped = precision_change(after, before, labels, np.arange(300) // 15)
    assert grouped.ci95 is not None and change.ci95 is not None
    assert judged_labels(np.array([[1, 1, -1, 0], [0, 1, 1, 0], [-1, 1, 0, 0]], np.int8)).tolist() == [0, 2]


def test_equal_scores_show_nothing_and_few_images_say_nothing() -> None:
    labels, before, _ = drawn(np.random.default_rng(2), 60, 0)
    same = precision_change(before, before, labels, np.arange(60))
    assert same.change == 0 and not same.is_shown
    few = precision_change(before[:10], before[:10], labels[:10], np.arange(10))
    assert few.ci95 is None and not few.is_shown
    groups = np.arange(60) // 20
    assert precision_change(before, before, labels, groups).ci95 is None


def test_the_change_of_an_error_is_the_mean_of_the_differences() -> None:
    """With the interval of paired differences, which is much narrower than that of either error."""
    rng = np.random.default_rng(3)
    hard = rng.exponential(10, 200)
    before, after = hard + 1, hard + 1 - rng.uniform(0, 0.4, 200)
    change = error_change(after, before, np.arange(200))
    assert change.change == pytest.approx((after - before).mean())
    assert change.ci95 == mean_interval(after - before, np.arange(200))
    assert change.is_shown and change.change < 0
    assert not error_change(before, before, np.arange(200)).is_shown
    assert error_change(after[:10], before[:10], np.arange(10)).ci95 is None


def test_equal_errors_are_rarely_shown_to_differ() -> None:
    """Two models whose errors are equally large on average and large for a few images; images of a group have related ones."""
    rng = np.random.default_rng(0)
    for n_groups, size in ((30, 1), (30, 4), (150, 1)):
        groups, shown = np.repeat(np.arange(n_groups), size), 0
        for _ in range(200):
            common = rng.standard_t(3, n_groups)[groups]
            of_groups = rng.normal(0, 0.7, (2, n_groups))[:, groups]
            one, other = np.abs(common + of_groups + rng.normal(0, 0.5, (2, len(groups))))
            shown += error_change(one, other, groups).is_shown
        assert shown / 200 <= 0.10


def test_an_error_that_is_smaller_is_shown() -> None:
    """Its sign, its size in words and what a few images or a few groups cannot show."""
    rng = np.random.default_rng(0)
    other = rng.uniform(1, 2, 80)
    found = error_change(other - 0.5 + rng.normal(0, 0.1, 80), other)
    assert found.is_shown and found.change == pytest.approx(-0.5, abs=0.05) and found.gain == -found.change
    assert found.signed().startswith("-0.") and found.signed().endswith("]")
    low, high = found.ci95 or (0, 0)
    assert found.in_points() == f"{-found.change:.3g} [{-high:.3g}, {-low:.3g}] in the mean absolute error"
    same = error_change(other, other)
    assert same.change == 0 and not same.is_shown
    for few in (error_change(other[:10] - 0.5, other[:10]), error_change(other - 0.5, other, np.arange(80) // 40)):
        assert few.ci95 is None and not few.is_shown and "[too few]" in few.signed()
