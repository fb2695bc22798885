"""Differences of two models on the same images, and when one is shown to be better."""

import numpy as np
import pytest

from headstart.evaluation.paired import paired_difference, smallest_gain_shown


def answers(n: int, both: int, one: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classifiers right on `both` images together, and on some alone."""
    first, second = np.zeros((2, n), bool)
    first[: both + one] = True
    second[:both] = second[both + one : both + one + other] = True
    return first, second


def test_the_interval_covers() -> None:
    """Drawn answers whose true difference is 0.05: the interval holds it as often as it says, for few and many images."""
    rng = np.random.default_rng(0)
    for n in (30, 150, 2000):
        covered = 0
        for _ in range(400):
            kind = rng.choice(4, n, p=[0.8, 0.1, 0.05, 0.05])  # both, one alone, the other alone, neither
            low, high = paired_difference(kind <= 1, (kind == 0) | (kind == 2)).ci95
            covered += low <= 0.05 <= high
        assert 0.92 <= covered / 400 <= 0.985


def test_equal_answers_show_nothing() -> None:
    """Two that never differ are not certain to be equal."""
    difference = paired_difference(*answers(100, 95, 0, 0))
    assert difference.gain == 0 and not difference.is_shown
    assert difference.ci95[0] < 0 < difference.ci95[1]


def test_a_clear_difference_is_shown_and_said() -> None:
    """20 to 2 of 400."""
    difference = paired_difference(*answers(400, 370, 20, 2))
    assert difference.is_shown
    assert difference.in_points().startswith("4.5 points [")
    worse = paired_difference(*answers(400, 370, 2, 20))
    assert worse.ci95 == pytest.approx((-difference.ci95[1], -difference.ci95[0]))
    assert worse.in_points() == difference.in_points()


def test_images_of_one_group_count_less() -> None:
    """The same answers from ten series of 40 are less certain."""
    one, other = answers(400, 370, 20, 2)
    alone, grouped = paired_difference(one, other), paired_difference(one, other, np.arange(400) // 40)
    assert grouped.gain == alone.gain
    assert grouped.ci95[1] - grouped.ci95[0] > 1.5 * (alone.ci95[1] - alone.ci95[0])


@pytest.mark.parametrize("n", [20, 80, 400])
def test_how_many_it_takes(n: int) -> None:
    """The smallest count shows a difference, one less does not."""
    count = smallest_gain_shown(n)
    assert paired_difference(*answers(n, 0, count, 0)).is_shown
    assert not paired_difference(*answers(n, 0, count - 1, 0)).is_shown
    assert smallest_gain_shown(1) == 2
