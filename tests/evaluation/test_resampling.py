"""Intervals of macro-F1 and balanced accuracy, of means, of curves and of repeated folds."""

import numpy as np
import pytest

from headstart.evaluation.cross_validation import cross_validation
from headstart.evaluation.intervals import mean_interval, wilson_interval
from headstart.evaluation.learning_curve import learning_curve
from headstart.evaluation.resampling import resampled_f1

ANSWERS = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.02, 0.03, 0.95]])


def test_many_classes_have_an_interval_around_the_estimate() -> None:
    """Thirty classes of 20 images, 95 of 100 right: the priors of the classes do not add up."""
    rng = np.random.default_rng(0)
    answers = np.full((30, 30), 0.05 / 29) + np.eye(30) * (0.95 - 0.05 / 29)
    inside = 0
    for seed in range(60):
        drawn = np.stack([rng.multinomial(20, row) for row in answers])
        low, high = resampled_f1(drawn, np.ones(30), seed).balanced_accuracy_ci95
        assert low < np.diag(drawn).mean() / 20 < high
        inside += low <= 0.95 <= high
    assert inside >= 53


@pytest.mark.parametrize(("n", "least"), [(60, 0.9), (300, 0.92), (3000, 0.92)])
def test_f1_intervals_cover(n: int, least: float) -> None:
    """Confusion matrices drawn from known answers: the true macro-F1 and balanced accuracy lie inside as often as promised."""
    rng = np.random.default_rng(0)
    counts = np.array([0.6, 0.3, 0.1]) * n
    true = ANSWERS * counts[:, None]
    macro_f1 = (2 * np.diag(true) / (counts + true.sum(axis=0))).mean()
    inside = np.zeros(2)
    for seed in range(200):
        drawn = np.stack([rng.multinomial(round(count), row) for count, row in zip(counts, ANSWERS, strict=True)])
        found = resampled_f1(drawn, np.ones(3), seed)
        for i, (value, (low, high)) in enumerate(
            [(macro_f1, found.macro_f1_ci95), (np.diag(ANSWERS).mean(), found.balanced_accuracy_ci95)]
        ):
            inside[i] += low <= value <= high
    assert (inside / 200 >= least).all() and (inside / 200 <= 0.99).all()


def test_no_mistake_is_no_certainty() -> None:
    """Twenty images without a mistake leave room for some; two thousand leave less."""
    few, many = (resampled_f1(np.diag([n, n]), np.ones(2)).macro_f1_ci95 for n in (10, 1000))
    assert 0.7 < few[0] < 0.95 and few[1] <= 1
    assert 0.99 < many[0] < 1


def test_grouped_images_make_it_wider() -> None:
    """A design effect of 4 doubles the width."""
    confusion = np.array([[90, 10], [10, 90]])
    alone, grouped = (resampled_f1(confusion, np.full(2, effect)).macro_f1_ci95 for effect in (1.0, 4.0))
    assert 1.6 < (grouped[1] - grouped[0]) / (alone[1] - alone[0]) < 2.4


def test_a_class_without_images_takes_no_part() -> None:
    """Its F1 is nothing; the means are over the others, and its column counts as mistakes."""
    found = resampled_f1(np.array([[18, 0, 2], [0, 20, 0], [0, 0, 0]]), np.ones(3))
    assert found.f1_ci95[2] == (0.0, 0.0)
    assert found.balanced_accuracy_ci95[0] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 300, 3000])
def test_the_interval_of_a_mean_covers(n: int) -> None:
    """Means of exponential values, by bootstrap and by Student."""
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        low, high = mean_interval(rng.exponential(size=n), seed=seed) or (0.0, 0.0)
        inside += low <= 1 <= high
    assert 0.88 <= inside / 200 <= 0.985


def test_the_mean_of_groups_is_less_certain() -> None:
    """Values that are equal within ten series of 30 say as much as ten."""
    values = np.repeat(np.random.default_rng(0).normal(size=10), 30)
    alone, grouped = mean_interval(values), mean_interval(values, np.arange(300) // 30)
    assert alone is not None and grouped is not None
    assert grouped[1] - grouped[0] > 4 * (alone[1] - alone[0])
    assert mean_interval(values, np.zeros(300, int)) is None  # one series alone says nothing


def curve_of(half: float, full: float, n: int) -> str:
    """The sentence about models that are right on these shares of n images."""
    right = np.stack([np.arange(n) < share * n for share in (half - 0.05, half, full)])
    return learning_curve((0.25, 0.5, 1.0), (100, 200, 400), right, np.arange(n)).sentence


def test_the_curve_says_whether_more_images_would_help() -> None:
    """A clear gain, a clear standstill, and too few images to tell."""
    assert curve_of(0.8, 0.9, 1000).startswith("More images would likely help: from 200 to 400")
    assert curve_of(0.9, 0.9, 1000).startswith("More images of the same kind would hardly help")
    assert curve_of(0.9, 0.95, 40).startswith("There are too few images to tell whether more would help")


def test_repeats_are_averaged_image_by_image() -> None:
    """Accuracy is the mean over repeats; the interval is that of the images, not of the answers; splits are listed."""
    right = np.zeros((2, 100), bool)
    right[0, :80] = right[1, 10:95] = True
    fold = np.stack([np.arange(100) % 5, np.arange(100) // 20])
    found = cross_validation(right, fold, np.arange(100))
    assert found.accuracy == pytest.approx(0.825) and found.n == 100
    # As of 100 images, not of 200 answers, with 1.75 times their variance: the two repeats' models share most of the images.
    assert found.accuracy_ci95 == pytest.approx(wilson_interval(82.5 / 1.75, 100 / 1.75))
    assert found.by_fold[1] == (0.5, 1.0, 1.0, 1.0, 0.75)
    assert found.spread == (0.5, 1.0)
    assert "in 5 folds, repeated 2 times: 82.5%" in found.sentence
    assert "82.5% (too few groups for an interval" in cross_validation(right, fold, np.arange(100) // 20).sentence
