"""How sure a share is (an accuracy, a recall), and how sure a mean."""

import math

import numpy as np

Z95 = 1.959963984540054  # the standard normal's 97.5 % point
RESAMPLES = 2000
MANY = 100  # degrees of freedom from which Student's distribution is nearly the normal
BOOTSTRAPPED = 2000  # groups above which a mean is as good as normal: its interval then is Student's
DRAWS_AT_ONCE = 4_000_000  # numbers of one block of resamples: what bounds the memory
TOO_FEW = 20  # images below which an interval is so wide that words are more honest


def wilson_interval(n_right: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of `n_right` among `n`, by Wilson's score method (Wilson 1927).

    It stays inside 0 .. 1 and keeps its promise for small n and shares near 1, where the usual plus-minus does not
    (Brown, Cai and DasGupta 2001): summed over the binomial it covers 0.93 to 0.97 at n = 20, 150 and 2,000 and shares of 0.5,
    0.9 and 0.98. Neither count need be whole. Raises ValueError where n is 0.
    """
    if n <= 0 or not 0 <= n_right <= n:
        raise ValueError(f"{n_right} of {n} is no share")
    share = n_right / n
    centre = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    low = 0.0 if n_right == 0 else (centre - half) / scale  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if n_right == n else (centre + half) / scale
    return low, high


def share_interval(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """The 95 % interval of the mean of (n,) `right`, values in 0 .. 1, n at least 1.

    Images of one group (a patient, a series of shots) say less than as many unrelated ones. Their number is divided by the
    design effect (Kish 1965) before Wilson's interval is taken (Dean and Pagano 2015): the variance of the mean between groups,
    over what unrelated images would have. Without `groups`, or where each image is its own, this is Wilson's interval.
    """
    effect = design_effect(right, groups)
    return wilson_interval(float(right.sum()) / effect, len(right) / effect)


def design_effect(values: np.ndarray, groups: np.ndarray | None, unrelated: float | None = None) -> float:
    """How many grouped images say as much as one unrelated image, 1 or more: the variance of the mean of (n,) values between
    groups, over what unrelated images would have.

    `unrelated` is the sum of squared deviations of these; without it that of shares, n * mean * (1 - mean). Where it is 0, all
    right or all wrong, the likeness within groups cannot be seen: then a group counts as one image.
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
    """The interval of a share of `n` images as it is said: in percent, or that they are too few for one."""
    if n < TOO_FEW:
        return f"too few for an interval: {TOO_FEW} are needed"
    return f"95 % interval {interval[0]:.1%} to {interval[1]:.1%}"


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of (n,) values of any kind, such as losses; None for a single group.

    It is bootstrapped, whole groups at a time where images are grouped (Efron 1979): percentiles, moved outwards as Student's
    distribution is wider than the normal.
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
    # A bootstrap's variance lacks the factor n / (n - 1), and its tails are the normal's (Hesterberg 2015).
    widen = student / Z95 * math.sqrt(n_groups / (n_groups - 1))
    return mean - (mean - float(low)) * widen, mean + (float(high) - mean) * widen


def _student_975(freedom: int) -> float:
    """The 97.5 % point of Student's distribution."""
    if freedom > MANY:
        return Z95 * (1 + (Z95**2 + 1) / (4 * freedom))  # the first term of its expansion, right to 3e-4 from here on
    from scipy.special import stdtrit  # an eighth of a second to import, and a machine that only predicts lacks it

    return float(stdtrit(freedom, 0.975))
