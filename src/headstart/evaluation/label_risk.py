"""Sets of labels that hold nearly all true ones: conformal risk control."""

import numpy as np

from headstart.data.label_sets import HAS, NOT_KNOWN
from headstart.evaluation.thresholds import ConformalThreshold


def risk_threshold(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float, groups: np.ndarray | None = None
) -> ConformalThreshold:
    """The highest probability such that the labels above it hold the share `coverage` of an image's true ones on average.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster 2022) of the share of an image's labels that are missed
    (the false negative rate), from (n, n_labels) probabilities of held-out images with (n, n_labels) labels: it holds in
    expectation over new images from the same distribution. Only the worst image of each of the (n,) `groups` counts; an image
    without labels misses none. What is not known does not count.
    """
    n = len(labels)
    has = (labels == HAS) & np.isfinite(probabilities)
    n_true = np.maximum(has.sum(axis=1), 1)
    numbers = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(numbers.max(initial=-1)) + 1

    def risk(threshold: float) -> float:
        missed = ((probabilities < threshold) & has).sum(axis=1) / n_true
        worst = np.zeros(n_groups)
        np.maximum.at(worst, numbers, missed)
        return float((worst.sum() + 1) / (n_groups + 1))  # as if a further image missed all

    candidates = np.unique(probabilities[has])  # the risk rises only where the threshold passes one of these
    low, high = 0, len(candidates)  # the number of candidates that are low enough
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if risk(float(candidates[middle - 1])) <= 1 - coverage else (low, middle - 1)
    threshold = float(candidates[low - 1]) if low else 0.0
    shown = np.nan_to_num(probabilities, nan=-1.0) >= threshold
    shown &= labels != NOT_KNOWN
    return ConformalThreshold(
        coverage=coverage, min_probability=threshold, mean_size=float(shown.sum(axis=1).mean()) if n else 0.0, n=n
    )
