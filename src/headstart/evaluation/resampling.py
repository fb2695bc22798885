"""Intervals of metrics that are not binomial: macro-F1, balanced accuracy, the F1 of a class."""

from dataclasses import dataclass

import numpy as np

SAMPLES = 2000
PRIOR_IMAGES = 0.5  # per class, spread evenly over the answers
AT_ONCE = 2_000_000  # numbers in one block of samples; this limits memory


@dataclass(frozen=True, slots=True)
class ResampledF1:
    """95 % intervals of metrics computed from a confusion matrix."""

    balanced_accuracy_ci95: tuple[float, float]
    macro_f1_ci95: tuple[float, float]
    f1_ci95: tuple[tuple[float, float], ...]  # one per class


def resampled_f1(confusion: np.ndarray, effects: np.ndarray, seed: int = 0) -> ResampledF1:
    """Intervals for an (n_classes, n_classes) confusion matrix, rows true, columns predicted, with at least one image.

    The distribution of a class's images over the answers is sampled from its posterior, a Dirichlet distribution with the
    counts and a prior of half an image (Goutte and Gaussier 2005). The median of the samples is shifted to the estimate,
    because the priors of many classes add up. Resampling images with replacement would claim certainty if no mistake was seen;
    this does not. In simulations of 2 to 30 classes of 10 to 700 images its coverage is 0.93 to 1.0. If images are grouped,
    the counts of each class are divided by its design effect, (n_classes,) `effects`.
    """
    n_classes = len(confusion)
    n = confusion.sum(axis=1)
    rows, columns = np.nonzero((confusion > 0) | (np.eye(n_classes, dtype=bool) & (n > 0)[:, None]))
    shapes = confusion[rows, columns] / effects[rows] + PRIOR_IMAGES / n_classes
    present, begins, cells = np.unique(rows, return_index=True, return_counts=True)
    # All answers that a class never received are sampled as one and spread evenly.
    other_shapes = PRIOR_IMAGES * (n_classes - cells) / n_classes
    right = np.flatnonzero(rows == columns)  # one for each class present, in order
    by_column = np.argsort(columns, kind="stable")
    answered, column_begins = np.unique(columns[by_column], return_index=True)
    rng = np.random.default_rng(seed)
    recalls, f1s = [], []
    block = max(1, AT_ONCE // len(rows))
    for start in range(0, SAMPLES, block):
        size = min(block, SAMPLES - start)
        drawn = rng.standard_gamma(shapes, (size, len(rows)))
        other = rng.standard_gamma(np.maximum(other_shapes, 1e-12), (size, len(present)))
        totals = np.add.reduceat(drawn, begins, axis=1) + other
        images = drawn / np.repeat(totals, cells, axis=1) * n[rows]
        spread = (other / totals * n[present]).sum(axis=1, keepdims=True) / n_classes
        predicted = np.zeros((size, n_classes))
        predicted[:, answered] = np.add.reduceat(images[:, by_column], column_begins, axis=1)
        recalls.append((images[:, right] / n[present]).mean(axis=1))
        f1s.append(2 * images[:, right] / (n[present] + predicted[:, present] + spread))
    f1 = np.concatenate(f1s)
    true_positives = np.diag(confusion)[present]
    f1_found = 2 * true_positives / (n[present] + confusion.sum(axis=0)[present])
    of_class = {int(c): around(f1_found[i], f1[:, i]) for i, c in enumerate(present)}
    return ResampledF1(
        around((true_positives / n[present]).mean(), np.concatenate(recalls)),
        around(f1_found.mean(), f1.mean(axis=1)),
        tuple(of_class.get(c, (0.0, 0.0)) for c in range(n_classes)),
    )


def around(found: float, drawn: np.ndarray, least: float = 0.0) -> tuple[float, float]:
    """The middle 95 % of the samples, shifted so that their median is the estimate; between `least` and 1."""
    low, middle, high = np.nanquantile(drawn, [0.025, 0.5, 0.975])
    return max(least, float(found + low - middle)), min(1.0, float(found + high - middle))
