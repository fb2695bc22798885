"""Intervals of numbers hold the truth as often as promised, also in groups, and are narrow where answers are good."""

import numpy as np
import pytest

from headstart.evaluation.number_intervals import GROUPS_A_PLACE, PLACES, NumberIntervals, intervals_kept, number_intervals
from headstart.evaluation.thresholds import conformal_threshold


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Answers, and numbers that are off the more the further the answer is from 0."""
    answers = rng.normal(size=n)
    return answers, answers + rng.normal(size=n) * (0.1 + 0.5 * np.abs(np.clip(answers, -1.5, 1.5)))


def in_groups(n_groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for groups of 1 to 11 images that are off together."""
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 12, n_groups))
    answers = rng.normal(size=len(groups))
    return answers, answers + 0.5 * rng.normal(size=n_groups)[groups] + 0.3 * rng.normal(size=len(groups)), groups


def made(answers: np.ndarray, numbers: np.ndarray, coverage: float, groups: np.ndarray | None = None) -> NumberIntervals:
    found = number_intervals(answers, numbers, coverage, groups)
    assert found is not None
    return found


@pytest.mark.parametrize("n", [20, 50, 100, 600])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage(n: int, coverage: float) -> None:
    """Over 200 sets, new images are covered as often as promised, within 1.5 points; with 20 images up to 4 more."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng([seed, n])
        intervals = made(*drawn(n, rng), coverage)
        answers, numbers = drawn(1_000, rng)
        found.append(intervals_kept(intervals.around(answers), numbers).coverage)
    assert -0.015 < np.mean(found) - coverage < (0.04 if n == 20 else 0.015)


@pytest.mark.parametrize("n_groups", [30, 200])
def test_coverage_of_images_in_groups(n_groups: int) -> None:
    """An image drawn from a new group is covered as often as promised."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng([seed, n_groups])
        answers, numbers, groups = in_groups(n_groups, rng)
        intervals = made(answers, numbers, 0.9, groups)
        assert (intervals.n, intervals.n_groups) == (len(answers), n_groups)
        answers, numbers, groups = in_groups(300, rng)
        ends = intervals.around(answers)
        inside = (ends[:, 0] <= numbers) & (numbers <= ends[:, 1])
        found.append(np.average(inside, weights=1 / np.bincount(groups)[groups]))
    assert 0.885 < np.mean(found) < 0.935


def test_few_images_give_the_rank_of_conformal_prediction() -> None:
    """Where all intervals are as wide, the half width is the residual at rank ceil((n + 1) * coverage), as for sets."""
    answers, numbers = drawn(40, np.random.default_rng(0))
    residuals = np.sort(np.abs(answers - numbers))
    for coverage, rank in ((0.9, 37), (0.5, 21), (0.8, 33)):
        assert made(answers, numbers, coverage).half_widths == (pytest.approx(residuals[rank - 1]),)
    scores = np.stack([1 - np.abs(answers - numbers) / 10, np.abs(answers - numbers) / 10], axis=1)
    of_sets = conformal_threshold(scores, np.zeros(40, int), 0.9)
    assert made(answers, numbers, 0.9).half_widths[0] == pytest.approx(10 * (1 - of_sets.min_probability))


@pytest.mark.parametrize(("n", "coverage", "given"), [(8, 0.9, False), (9, 0.9, True), (18, 0.95, False), (19, 0.95, True)])
def test_too_few_images_promise_nothing(n: int, coverage: float, given: bool) -> None:
    """0.9 needs nine unrelated images, 0.95 nineteen; images of one group do not help."""
    answers, numbers = drawn(n, np.random.default_rng(0))
    assert (number_intervals(answers, numbers, coverage) is not None) == given
    repeated, groups = np.repeat(answers, 20), np.repeat(np.arange(n), 20)
    assert (number_intervals(repeated, np.repeat(numbers, 20), coverage, groups) is not None) == given


def test_copies_change_nothing() -> None:
    """Every image ten times, grouped, gives the intervals of each once."""
    answers, numbers = drawn(300, np.random.default_rng(3))
    once = made(answers, numbers, 0.9)
    copies = made(np.repeat(answers, 10), np.repeat(numbers, 10), 0.9, np.repeat(np.arange(300), 10))
    np.testing.assert_allclose(copies.half_widths, once.half_widths, rtol=0.05)
    np.testing.assert_allclose(copies.answers, once.answers, atol=0.05)


def test_intervals_are_narrow_where_answers_are_good() -> None:
    """With enough images the width follows the answer; then large and small answers are both covered as promised."""
    answers, numbers = drawn(2_000, np.random.default_rng(0))
    found = made(answers, numbers, 0.9)
    assert len(found.answers) == PLACES
    narrow, wide = (float(np.diff(found.around(np.array([at])))[0, 0]) for at in (0.0, 2.0))
    assert narrow < 0.5 * wide
    answers, numbers = drawn(20_000, np.random.default_rng(1))
    for part in (np.abs(answers) < 0.5, np.abs(answers) > 1):
        assert intervals_kept(found.around(answers[part]), numbers[part]).coverage == pytest.approx(0.9, abs=0.05)
    fewer = made(*drawn(2 * GROUPS_A_PLACE - 1, np.random.default_rng(0)), 0.9)
    assert len(fewer.answers) == 1


def test_odd_answers() -> None:
    """The same answer for all, and answers that are all right, give intervals too."""
    numbers = np.random.default_rng(0).normal(size=500)
    constant = made(np.zeros(500), numbers, 0.9)
    assert intervals_kept(constant.around(np.zeros(500)), numbers).coverage == pytest.approx(0.9, abs=0.01)
    right = made(numbers, numbers, 0.9)
    assert set(right.half_widths) == {0.0}
    assert (right.around(numbers) == numbers[:, None]).all()


def test_they_are_kept_in_files() -> None:
    """What is read again is the same; answers that do not increase, or lack a width, are refused."""
    found = made(*drawn(300, np.random.default_rng(0)), 0.9)
    assert NumberIntervals.from_json(found.as_json()) == found
    for wrong in ({"answers": (1.0, 1.0)}, {"answers": ()}, {"answers": (0.0,)}):
        with pytest.raises(ValueError, match="answers"):
            NumberIntervals.from_json(found.model_copy(update={"half_widths": (1.0, 1.0), **wrong}).as_json())


def test_kept() -> None:
    """The share of truths inside, with its interval where there are enough images, and the mean width."""
    ends = np.array([[0.0, 1.0], [0.0, 3.0], [2.0, 4.0], [2.0, 4.0]])
    found = intervals_kept(ends, np.array([0.5, 4.0, 2.0, 4.0]))
    assert (found.coverage, found.coverage_ci95, found.mean_width) == (0.75, None, 2.0)
    many = intervals_kept(np.repeat(ends, 20, axis=0), np.repeat([0.5, 4.0, 2.0, 4.0], 20))
    assert many.coverage_ci95 is not None and many.coverage_ci95[0] < 0.75 < many.coverage_ci95[1]
