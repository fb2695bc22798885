"""Confidence intervals of shares (an accuracy, a recall) and of means."""

import math

import numpy as np

Z95 = 1.959963984540054  # the standard normal's 97.5 % point
RESAMPLES = 2000
MANY = 100  # degrees of freedom above which Student's distribution is nearly normal
BOOTSTRAPPED = 2000  # above this number of groups a mean is close to normal, and Student's interval is used
DRAWS_AT_ONCE = 4_000_000  # numbers in one block of resamples; this limits memory
TOO_FEW = 20  # below this number of images an interval is too wide to be useful


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


def share_interval(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """The 95 % interval of the mean of (n,) `right`, values in 0 .. 1, n at least 1.

    Images of one group (a patient, a burst of shots) carry less information than the same number of unrelated images. Their
    number is divided by the design effect (Kish 1965) before Wilson's interval is computed (Dean and Pagano 2015). The design
    effect is the variance of the mean between groups, divided by the variance for unrelated images. Without `groups`, or if
    each image is its own group, this is Wilson's interval.
    """
    effect = design_effect(right, groups)
    return wilson_interval(float(right.sum()) / effect, len(right) / effect)


def design_effect(values: np.ndarray, groups: np.ndarray | None, unrelated: float | None = None) -> float:
    """How many grouped images carry as much information as one unrelated image, 1 or more.

    This is the variance of the mean of (n,) values between groups, divided by the variance for unrelated images. `unrelated`
    is the sum of squared deviations of unrelated images; the default is that of shares, n * mean * (1 - mean). If it is 0 (all
    right or all wrong), the similarity within groups cannot be measured, and a group counts as one image.
    """
    n, mean = len(values), float(values.mean())
    if groups is None:
        return 1.0
    numbers = np.unique(groups, return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    if n_groups == n:
        return 1.0
    unrelated = n * mean * (1 - mean) if unrelated is None else unrelated
    if n_groups == 1 or unrelated == 0:
        return n / n_groups
    sums = np.bincount(numbers, weights=values - mean)
    between = n_groups / (n_groups - 1) * float(sums @ sums)
    return min(max(between / unrelated, 1.0), float(n))


def in_words(interval: tuple[float, float], n: int) -> str:
    """The interval of a share of `n` images in words: in percent, or that there are too few images."""
    if n < TOO_FEW:
        return f"too few for an interval: {TOO_FEW} are needed"
    return f"95 % interval {interval[0]:.1%} to {interval[1]:.1%}"


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of (n,) values of any kind, such as losses; None for a single group.

    It is bootstrapped, by whole groups if images are grouped (Efron 1979). The percentiles are widened by the ratio of
    Student's distribution to the normal.
    """
    numbers = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(numbers, weights=values)
    sizes = np.bincount(numbers).astype(np.float64)
    n_groups = len(sizes)
    mean = float(sums.sum() / sizes.sum())
    if n_groups == 1:
        return None
    student = _student_975(n_groups - 1)
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


def _student_975(freedom: int) -> float:
    """The 97.5 % point of Student's distribution."""
    if freedom > MANY:
        return Z95 * (1 + (Z95**2 + 1) / (4 * freedom))  # the first term of the expansion, accurate to 3e-4 in this range
    from scipy.special import stdtrit  # takes 0.125 s to import; machines that only predict do not have it

    return float(stdtrit(freedom, 0.975))
