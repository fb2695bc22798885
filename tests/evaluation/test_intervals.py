"""The interval says how sure an accuracy is, and keeps its promise of 95 %."""

import numpy as np
import pytest
from scipy import stats

from headstart.evaluation.intervals import design_effect, share_interval, wilson_interval


@pytest.mark.parametrize("n", [1, 2, 7, 20, 153, 2_000, 1_000_000])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.98, 1])
def test_equal_to_scipy(n: int, share: float) -> None:
    """The interval is scipy's Wilson interval for every count."""
    n_right = round(share * n)
    expected = stats.binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("n", [20, 150, 2_000])
def test_coverage(n: int, p: float) -> None:
    """Summed over everything that can happen, the interval holds the true accuracy about 95 times in 100."""
    coverage = 0.0
    for n_right in range(n + 1):
        low, high = wilson_interval(n_right, n)
        if low <= p <= high:
            coverage += stats.binom.pmf(n_right, n, p)
    assert 0.93 <= coverage <= 0.97


@pytest.mark.parametrize("n", [1, 3, 10, 1_000])
def test_ends(n: int) -> None:
    """None and all right give ends of exactly 0 and 1, and never an interval of no width."""
    low, high = wilson_interval(0, n)
    assert low == 0
    assert 0 < high < 1
    assert wilson_interval(n, n) == pytest.approx((1 - high, 1), abs=1e-12)
    assert wilson_interval(n, n)[1] == 1


def test_more_images_less_doubt() -> None:
    """The interval holds the share and narrows with the root of the number of images."""
    widths = []
    for n in (100, 400, 1_600):
        low, high = wilson_interval(n * 9 // 10, n)
        assert low < 0.9 < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.05)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("n_right", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_no_share(n_right: int, n: int) -> None:
    """Counts that are no share are refused."""
    with pytest.raises(ValueError, match=f"{n_right} of {n} is not a share"):
        wilson_interval(n_right, n)


def grouped(n_groups: int, of_each: int, likeness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong answers at 0.8, in groups that agree with this probability and are unrelated otherwise."""
    rng = np.random.default_rng(seed)
    of_group, own = rng.random(n_groups) < 0.8, rng.random((n_groups, of_each)) < 0.8
    right = np.where(rng.random((n_groups, of_each)) < likeness, of_group[:, None], own)
    return right.ravel(), np.repeat(np.arange(n_groups), of_each)


@pytest.mark.parametrize("likeness", [0.0, 0.5, 1.0])
def test_coverage_in_groups(likeness: float) -> None:
    """The interval of grouped images holds the truth about 95 times in 100, however alike they are; Wilson's alone does not."""
    held, plain = [], []
    for seed in range(600):
        right, groups = grouped(60, 5, likeness, seed)
        low, high = share_interval(right, groups)
        held.append(low <= 0.8 <= high)
        low, high = wilson_interval(int(right.sum()), len(right))
        plain.append(low <= 0.8 <= high)
    assert 0.92 <= np.mean(held) <= 0.985
    if likeness == 1.0:
        assert np.mean(plain) < 0.75


def test_unrelated_images_are_wilsons() -> None:
    """Without groups, and where each image is its own group, it is Wilson's interval."""
    right = np.arange(50) < 43
    assert share_interval(right) == share_interval(right, np.arange(50)) == wilson_interval(43, 50)


@pytest.mark.parametrize("right", [True, False])
def test_where_all_are_alike_a_group_is_an_image(right: bool) -> None:
    """Where no answer differs nothing tells how alike the images of a group are: the interval is that of the groups."""
    groups = np.repeat(np.arange(12), 10)
    assert share_interval(np.full(120, right), groups) == pytest.approx(wilson_interval(12 * right, 12))
    assert design_effect(np.full(120, right), groups) == 10
    assert share_interval(np.arange(8) < 4, np.zeros(8)) == pytest.approx(wilson_interval(0.5, 1))
