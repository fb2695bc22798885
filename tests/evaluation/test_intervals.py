"""The interval says how sure an accuracy is, and keeps its promise of 95 %."""

import pytest
from scipy import stats

from headstart.evaluation.intervals import wilson_interval


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
    with pytest.raises(ValueError, match=f"{n_right} of {n} is no share"):
        wilson_interval(n_right, n)
