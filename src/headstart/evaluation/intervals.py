"""Confidence intervals of shares (an accuracy, a recall) and of means."""

import math
from typing import Literal

import numpy as np

from headstart.evaluation.likeness import Z95, Likeness, student_975

RESAMPLES = 2000
BOOTSTRAPPED = 2000  # above this number of groups a mean is close to normal, and Student's interval is used
DRAWS_AT_ONCE = 4_000_000  # numbers in one block of resamples; this limits memory
TOO_FEW = 20  # below this number of images an interval is too wide to be useful
TOO_FEW_GROUPS = 8  # below this number of groups it cannot be told how alike the images of a group are
SKEWNESS = 3.0
HALVINGS = 50  # of the range in which the end of an interval lies


def wilson_interval(n_right: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of `n_right` among `n`, by Wilson's score method (Wilson 1927).

    It stays within 0 .. 1 and keeps its coverage for small n and shares near 1, where the usual normal interval does not
    (Brown, Cai and DasGupta 2001). Summed over the binomial, its coverage is 0.93 to 0.97 at n = 20, 150 and 2,000 and shares
    of 0.5, 0.9 and 0.98. The counts need not be whole numbers. Raises ValueError if n is 0.
    """
    if n <= 0 or not 0 <= n_right <= n:
        raise ValueError(f"{n_right} of {n} is not a share")
    share = n_right / n
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    low = 0.0 if n_right == 0 else (centre - half) / scale  # exact at the ends, where rounding would give 1e-17
    high = 1.0 if n_right == n else (centre + half) / scale
    return low, high


def share_interval(right: np.ndarray, groups: np.ndarray | None = None, variance: float = 1.0) -> tuple[float, float]:
    """The 95 % interval of the mean of (n,) `right`, values in 0 .. 1, n at least 1.

    `variance` multiplies the variance that the choice of images gives to the mean, for what else makes the mean uncertain.

    Without `groups`, or if each image is its own group, this is Wilson's interval. Images of one group (a patient, a burst of
    shots) carry less information than unrelated ones: Wilson's score test is then made with their design effect (Dean and
    Pagano 2015), at Student's quantile. An end of the interval is the last share that the test does not reject.

    - Towards 1/2 the design effect is that on the safe side: the truth is there if groups that are all wrong were not met.
    - Towards 0 or 1 it is the measured one. If groups differ much in size, the largest make the mean skewed: the variance is
      raised in proportion to (1 - 2 * share)**2.

    Both rules were chosen by simulation: benchmarks/coverage.py has the coverage for 8 to 60 groups. With fewer it is a guess.
    """
    n, share = len(right), float(right.mean())
    likeness = Likeness.of(right, groups)
    if likeness is None:
        return wilson_interval(float(right.sum()) / variance, n / variance)
    inwards, outwards = likeness.effect() * variance / n, likeness.effect_as_measured() * variance / n
    low = _end(share, 0.0, inwards if share > 0.5 else outwards, likeness.lopsided)
    high = _end(share, 1.0, inwards if share < 0.5 else outwards, likeness.lopsided)
    return low, high


def _end(share: float, bound: float, per_image: float, lopsided: float) -> float:
    """The share between `share` and `bound` up to which the score test does not reject, by bisection."""
    inside, outside = share, bound
    for _ in range(HALVINGS):
        tried = (inside + outside) / 2
        spread = tried * (1 - tried)
        variance = per_image * spread * (1 + SKEWNESS * lopsided * (1 - 4 * spread))
        if (tried - share) ** 2 > Z95**2 * variance:
            outside = tried
        else:
            inside = tried
    return inside


def too_few(n: int, n_groups: int) -> Literal["images", "groups"] | None:
    """What there is too little of for an interval of `n` images in `n_groups` unrelated groups; None if there is enough."""
    if n < TOO_FEW:
        return "images"
    return "groups" if n_groups < TOO_FEW_GROUPS else None


def in_words(interval: tuple[float, float], n: int, n_groups: int) -> str:
    """The interval of a share of `n` images in words: in percent, or that there are too few images or groups."""
    match too_few(n, n_groups):
        case "images":
            return f"too few for an interval: {TOO_FEW} are needed"
        case "groups":
            return f"too few groups for an interval: {TOO_FEW_GROUPS} are needed"
    return f"95 % interval {interval[0]:.1%} to {interval[1]:.1%}"


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of (n,) values of any kind, such as losses; None for a single group.

    It is bootstrapped, by whole groups if images are grouped (Efron 1979). The percentiles are widened by the ratio of
    Student's distribution to the normal. Groups of different sizes count as fewer of one size (Kish 1965), at least two.
    """
    numbers = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(numbers, weights=values)
    sizes = np.bincount(numbers).astype(np.float64)
    n_groups = len(sizes)
    mean = float(sums.sum() / sizes.sum())
    if n_groups == 1:
        return None
    student = student_975(max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1))
    if n_groups > BOOTSTRAPPED:
        residuals = sums - mean * sizes
        error = math.sqrt(n_groups / (n_groups - 1) * float(residuals @ residuals)) / float(sizes.sum())
        return mean - student * error, mean + student * error
    rng = np.random.default_rng(seed)
    block = max(1, DRAWS_AT_ONCE // n_groups)
    means = []
    for start in range(0, RESAMPLES, block):
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=min(block, RESAMPLES - start))
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    # The bootstrap's variance lacks the factor n / (n - 1), and its tails are those of the normal (Hesterberg 2015).
    widen = student / Z95 * math.sqrt(n_groups / (n_groups - 1))
    return mean - (mean - float(low)) * widen, mean + (float(high) - mean) * widen
