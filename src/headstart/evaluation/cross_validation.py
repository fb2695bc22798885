"""Accuracy by cross-validation, repeated with other folds: what it is, how sure, and how much it depends on the split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.intervals import in_words, share_interval


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What repeated cross-validation found."""

    n: int  # images, each answered once a repeat by a model that never saw it
    n_folds: int
    accuracy: float
    accuracy_ci95: tuple[float, float]  # for new images of this kind
    by_fold: tuple[tuple[float, ...], ...]  # repeat -> the accuracy in each fold

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest accuracy that a single split would have shown."""
        accuracies = [accuracy for repeat in self.by_fold for accuracy in repeat]
        return min(accuracies), max(accuracies)

    @property
    def standard_deviation(self) -> float:
        """Of the accuracy over the splits."""
        return float(np.std([accuracy for repeat in self.by_fold for accuracy in repeat], ddof=1))

    def sentence(self) -> str:
        """The result in plain words."""
        least, most = self.spread
        times = f", {len(self.by_fold)} times over" if len(self.by_fold) > 1 else ""
        return (
            f"Cross-validation in {self.n_folds} folds{times}: {self.accuracy:.1%} ({in_words(self.accuracy_ci95, self.n)}); "
            f"a single split would have shown anything from {least:.1%} to {most:.1%}."
        )

    def as_json(self) -> dict[str, Any]:
        """As metrics.json holds it."""
        return {
            "n": self.n,
            "folds": self.n_folds,
            "repeats": len(self.by_fold),
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "by_fold": [list(repeat) for repeat in self.by_fold],
            "standard_deviation": self.standard_deviation,
            "spread": list(self.spread),
            "sentence": self.sentence(),
        }


def cross_validation(right: np.ndarray, fold: np.ndarray, groups: np.ndarray) -> CrossValidation:
    """From (n_repeats, n) bool `right` and int `fold`, 0 .. n_folds - 1, and (n,) `groups`.

    Of an image answered several times the share of right answers counts: the repeats take away the chance in the choice of
    folds, not the chance in the choice of images, which the interval (Wilson's, by groups) is about.
    """
    n_folds = int(fold.max()) + 1
    by_fold = tuple(tuple(float(r[f == number].mean()) for number in range(n_folds)) for r, f in zip(right, fold, strict=True))
    often = right.mean(axis=0)
    return CrossValidation(right.shape[1], n_folds, float(often.mean()), share_interval(often, groups), by_fold)
