"""Whether one classifier is better than another on the same images."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from headstart.evaluation.likeness import Z95, design_effect
from headstart.schema import Interval, Positive, Schema

FEW = 200  # up to this number of differing answers, the exact test is applied as well
SIGNIFICANT = 0.05  # two-sided


class Difference(Schema):
    """How much more often one classifier is right than another, on the same images."""

    gain: Annotated[float, Field(ge=-1, le=1)]  # accuracy of the first minus that of the second
    ci95: Interval = Field(alias="gain_ci95")
    n: Positive  # images
    is_shown: bool = Field(
        alias="shown"
    )  # whether it is beyond chance: the interval excludes 0, and McNemar's exact test agrees

    def signed(self) -> str:
        """The signed difference, such as "+4.1 points [2.9, 5.4]"."""
        low, high = (100 * end for end in self.ci95)
        return f"{100 * self.gain:+.1f} points [{low:.1f}, {high:.1f}]"

    def in_points(self) -> str:
        """The size of the difference, such as "4.1 points [2.9, 5.4]"; a negative one has its interval negated too."""
        low, high = sorted(math.copysign(1, self.gain or 1) * 100 * end for end in self.ci95)
        return f"{100 * abs(self.gain):.1f} points [{low:.1f}, {high:.1f}]"


def paired_difference(one: np.ndarray, other: np.ndarray, groups: np.ndarray | None = None) -> Difference:
    """The difference in accuracy between two classifiers, given as (n,) bool whether each was right on the same n >= 1 images.

    The interval is Agresti and Min's (2005): the usual one with half an image added to each of the four combinations of right
    and wrong, so that it is not too narrow when the two rarely differ. Images of one group count as fewer, by the design
    effect of the differences.
    """
    n = len(one)
    differences = one.astype(np.float64) - other.astype(np.float64)
    effect = design_effect(differences, groups)
    for_one, for_other = (float((differences == sign).sum()) / effect + 0.5 for sign in (1, -1))
    effective = n / effect + 2
    middle = (for_one - for_other) / effective
    deviation = math.sqrt(for_one + for_other - (for_one - for_other) ** 2 / effective) / effective
    low, high = max(-1.0, middle - Z95 * deviation), min(1.0, middle + Z95 * deviation)
    # With few differences the interval is too narrow, so the exact test must agree (5 to 0: chance gives it 1 time in 16).
    fewer, both = math.floor(min(for_one, for_other)), math.floor(for_one + for_other - 1)
    chance = 2 * sum(math.comb(both, k) for k in range(fewer + 1)) / 2**both if both <= FEW else 0.0
    is_shown = chance <= SIGNIFICANT and not low <= 0 <= high
    return Difference(gain=float(differences.mean()), ci95=(low, high), n=n, is_shown=is_shown)


def smallest_gain_shown(n: int) -> int:
    """How many of `n` images one classifier must get right that the other gets wrong, at least, to be shown to be better."""
    for count in range(1, n + 1):
        if paired_difference(np.arange(n) < count, np.zeros(n, bool)).is_shown:
            return count
    return n + 1
