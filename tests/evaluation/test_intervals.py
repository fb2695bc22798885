"""The interval says how sure an accuracy is, and keeps its promise of 95 %."""

import numpy as np
import pytest
from scipy import stats

from headstart.evaluation.intervals import in_words, share_interval, wilson_interval
from headstart.evaluation.likeness import Likeness, design_effect, student_975


@pytest.mark.parametrize("freedom", [1, 1.0001, 1.5, 2, 2.9, 3, 5, 7.25, 10, 22.5, 60, 99.9, 100])
def test_students_quantile_is_scipys(freedom: float) -> None:
    """Whole or not, the degrees of freedom give scipy's 97.5 % point, without a second of imports."""
    assert student_975(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


@pytest.mark.parametrize("freedom", [101, 1000, 1e9])
def test_students_quantile_of_many(freedom: float) -> None:
    """There an expansion is good enough."""
    assert student_975(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=3e-4)


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


def test_one_group_says_next_to_nothing() -> None:
    """Half of the images of a single group being right leaves everything open."""
    low, high = share_interval(np.arange(80) < 40, np.zeros(80))
    assert 0 < low < 0.05 and 0.95 < high < 1


def sizes_of(kind: str, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Groups of 10 images, of 1 to 30, or one of 100 beside others of 10."""
    if kind == "1 to 30":
        return rng.integers(1, 31, n_groups)
    return np.r_[100 if kind == "one of 100" else 10, np.full(n_groups - 1, 10)]


@pytest.mark.parametrize("kind", ["even", "1 to 30", "one of 100"])
@pytest.mark.parametrize("n_groups", [8, 12])
@pytest.mark.parametrize("correlation", [0.2, 0.9])
def test_coverage_of_few_and_uneven_groups(kind: str, n_groups: int, correlation: float) -> None:
    """Each group has an accuracy of its own around 0.9, which is held 93 times in 100 (by a design effect alone 70 to 90)."""
    rng, spread, held = np.random.default_rng(0), (1 - correlation) / correlation, 0
    for _ in range(500):
        sizes = sizes_of(kind, n_groups, rng)
        groups = np.repeat(np.arange(n_groups), sizes)
        right = rng.random(len(groups)) < rng.beta(0.9 * spread, 0.1 * spread, n_groups)[groups]
        low, high = share_interval(right, groups)
        held += low <= 0.9 <= high
    assert held / 500 >= 0.93


def test_coverage_where_bad_groups_are_rarely_met() -> None:
    """A fifth of 60 groups is right or wrong as a whole: if none is wrong the images look unrelated, and yet may not be."""
    rng, held = np.random.default_rng(0), 0
    groups = np.repeat(np.arange(60), 20)
    for _ in range(500):
        whole = np.where(rng.random(60) < 0.2, rng.random(60) < 0.9, 0.9)
        low, high = share_interval(rng.random(1200) < whole[groups], groups)
        held += low <= 0.9 <= high
    assert held / 500 >= 0.92


@pytest.mark.parametrize("n_pairs", [1, 5, 20])
def test_a_few_pairs_change_little(n_pairs: int) -> None:
    """272 images among which some are twins: hardly wider than that of 272 unrelated ones."""
    right, groups = np.random.default_rng(0).permutation(272) < 250, np.arange(272)
    groups[: 2 * n_pairs : 2] = groups[1 : 2 * n_pairs : 2]
    alone, with_pairs = share_interval(right), share_interval(right, groups)
    assert 1 <= np.ptp(with_pairs) / np.ptp(alone) < 1.01 + n_pairs / 272


def test_right_and_wrong_are_mirrored() -> None:
    """The interval of the wrong answers is 1 minus that of the right ones."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(15), rng.integers(1, 20, 15))
    for share in (0.1, 0.5, 0.93):
        right = rng.random(len(groups)) < share
        low, high = share_interval(right, groups)
        assert share_interval(~right, groups) == pytest.approx((1 - high, 1 - low))
        assert low <= right.mean() <= high


def test_the_correlation_within_groups_is_found() -> None:
    """1 for copies, near 0 for unrelated images, whatever the sizes; nothing where no image has a group to share."""
    rng = np.random.default_rng(0)
    sizes = np.r_[100, rng.integers(1, 10, 200)]
    groups = np.repeat(np.arange(201), sizes)
    copies, unrelated = (Likeness.of(right, groups) for right in (rng.random(201)[groups] < 0.7, rng.random(len(groups)) < 0.7))
    assert copies is not None and copies.correlation == 1
    assert unrelated is not None and unrelated.correlation < 0.15
    assert Likeness.of(np.ones(3), np.arange(3)) is None


@pytest.mark.parametrize(
    ("n", "n_groups", "words"),
    [
        (19, 19, "too few for an interval: 20 are needed"),
        (200, 7, "too few groups for an interval: 8 are needed"),
        (200, 8, "95 % interval 50.0% to 75.0%"),
    ],
)
def test_an_interval_in_words(n: int, n_groups: int, words: str) -> None:
    """Fewer than 20 images or 8 groups are too few to claim an interval."""
    assert in_words((0.5, 0.75), n, n_groups) == words
