"""Metrics of predicted numbers: how far they are from the truth, beside what knows nothing of the image."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from headstart.evaluation.intervals import mean_interval, too_few
from headstart.evaluation.likeness import student_975
from headstart.schema import Interval, NotNegative, Positive, Schema

AtMostOne = Annotated[float, Field(le=1)]


class NumbersSeen(Schema):
    """What is known of the numbers that a model was trained on."""

    n: Positive
    mean: float
    median: float
    low: float  # the smallest
    high: float  # the largest

    @classmethod
    def of(cls, numbers: np.ndarray) -> "NumbersSeen":
        """Of (n,) numbers, n at least 1."""
        return cls(
            n=len(numbers),
            mean=float(numbers.mean(dtype=np.float64)),
            median=float(np.median(numbers)),
            low=float(numbers.min()),
            high=float(numbers.max()),
        )


class NumberMetrics(Schema):
    """Metrics of numbers, in their own unit."""

    mean_absolute_error: NotNegative
    mean_absolute_error_ci95: Interval | None = None  # None: too few images or groups
    mean_guess_error: NotNegative  # the mean absolute error of always answering the mean of the training images
    median_guess_error: NotNegative  # of always answering their median, the best answer to this measure without looking
    root_mean_squared_error: NotNegative
    # 1 - (squared error) / (that of always answering the mean of these images); None: all their numbers are the same.
    r2: AtMostOne | None
    r2_ci95: Interval | None = None
    bias: float  # mean of answer - truth


def number_metrics(
    predicted: np.ndarray, numbers: np.ndarray, seen: NumbersSeen, groups: np.ndarray | None = None
) -> NumberMetrics:
    """Metrics of (n,) predicted numbers against the (n,) true ones, n at least 1.

    Intervals take into account that images of one of the (n,) `groups` are related.
    """
    errors = predicted - numbers
    n_groups = len(numbers) if groups is None else len(np.unique(groups))
    enough = not too_few(len(numbers), n_groups)
    r2 = r2_score(predicted, numbers)
    return NumberMetrics(
        mean_absolute_error=float(np.abs(errors).mean()),
        mean_absolute_error_ci95=mean_interval(np.abs(errors), groups) if enough else None,
        mean_guess_error=float(np.abs(numbers - seen.mean).mean()),
        median_guess_error=float(np.abs(numbers - seen.median).mean()),
        root_mean_squared_error=float(np.sqrt(np.square(errors).mean())),
        r2=r2,
        r2_ci95=_r2_interval(predicted, numbers, groups) if enough and r2 is not None else None,
        bias=float(errors.mean()),
    )


def r2_score(predicted: np.ndarray, numbers: np.ndarray) -> float | None:
    """The coefficient of determination, as scikit-learn's r2_score; None if all (n,) true numbers are the same."""
    spread = float(np.square(numbers - numbers.mean()).sum())
    return 1 - float(np.square(predicted - numbers).sum()) / spread if spread > 0 else None


def _r2_interval(predicted: np.ndarray, numbers: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """95 %, by the delta method on the logarithm of 1 - R2, a ratio of two sums over groups, at Student's quantile.

    The logarithm keeps the interval below 1 and makes the distribution less skewed: in simulations with 25 to 5,000 images
    whose errors differ in size it holds the truth in 91 to 95 of 100 sets.
    """
    of_group = np.arange(len(numbers)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(of_group).astype(np.float64)
    squared, spread = np.square(predicted - numbers), np.square(numbers - numbers.mean())
    left = float(squared.sum() / spread.sum())
    if left == 0:
        return 1.0, 1.0
    pulls = np.bincount(of_group, squared / squared.sum() - spread / spread.sum())
    n_groups = len(sizes)
    effective = float(sizes.sum() ** 2 / np.square(sizes).sum())  # groups of one size that say as much (Kish 1965)
    error = math.sqrt(n_groups / (n_groups - 1) * float(np.square(pulls).sum()))
    reach = math.exp(student_975(max(1.0, effective - 1)) * error)
    return 1 - left * reach, 1 - left / reach
