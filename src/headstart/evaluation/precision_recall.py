"""Average precision, and how certain it is."""

from dataclasses import dataclass

import numpy as np

from headstart.data.label_sets import HAS, NOT_KNOWN
from headstart.evaluation.resampling import around

SAMPLES = 500
AT_ONCE = 4_000_000  # numbers in one block of samples; this limits memory


def average_precision(scores: np.ndarray, has: np.ndarray) -> float:
    """The area under the steps of precision over recall of (n,) scores, at least one of which has the label.

    As scikit-learn defines it: the sum of precisions, each weighted by the gain of recall; equal scores are one step.
    """
    return float(_weighted(scores, has, np.ones((1, len(has))))[0])


def _weighted(scores: np.ndarray, has: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n_samples,): the average precision with each row of (n_samples, n) weights; NaN where nothing with the label is left."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of equal scores
    by_rank = weights[:, order]
    hits = (by_rank * has[order]).cumsum(axis=1)[:, last]
    said = by_rank.cumsum(axis=1)[:, last]
    gains = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = np.where(gains > 0, gains * hits / said, 0.0).sum(axis=1)
        return np.asarray(steps / hits[:, -1])


@dataclass(frozen=True, slots=True)
class ResampledPrecisions:
    """95 % intervals of average precisions."""

    ci95: tuple[tuple[float, float], ...]  # one per label
    mean_ci95: tuple[float, float]


def resampled_average_precisions(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int = 0
) -> ResampledPrecisions:
    """Intervals for (n, n_labels) probabilities and labels; each label has images that have it and images that lack it.

    Images are drawn anew with replacement, whole groups at a time (the bootstrap); a draw without any image of a label says
    nothing of that label. The median of the draws is shifted to the estimate: it is a little above, as copies rank beside
    each other.
    """
    samples, of_all = drawn_average_precisions(probabilities, labels, groups, seed), average_precisions(probabilities, labels)
    return ResampledPrecisions(
        tuple(around(value, samples[:, i]) for i, value in enumerate(of_all)),
        around(float(np.mean(of_all)), np.nanmean(samples, axis=1)),
    )


def average_precisions(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """The average precision of each of (n, n_labels) labels, on the images of which it is known whether they have it."""
    known = labels != NOT_KNOWN
    return [average_precision(probabilities[known[:, i], i], labels[known[:, i], i] == HAS) for i in range(labels.shape[1])]


def drawn_average_precisions(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int = 0
) -> np.ndarray:
    """(n_samples, n_labels): the average precisions of images that are drawn anew; NaN where none of a label was drawn.

    The same images are drawn for the same labels, groups and seed, whatever the probabilities.
    """
    numbers = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    rng = np.random.default_rng(seed)
    found = []
    block = max(1, AT_ONCE // len(labels))
    for start in range(0, SAMPLES, block):
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=min(block, SAMPLES - start))
        weights = drawn[:, numbers].astype(np.float64)
        columns = []
        for i in range(labels.shape[1]):
            known = labels[:, i] != NOT_KNOWN
            columns.append(_weighted(probabilities[known, i], labels[known, i] == HAS, weights[:, known]))
        found.append(np.stack(columns, axis=1))
    return np.concatenate(found)
