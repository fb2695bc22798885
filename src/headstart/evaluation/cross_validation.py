"""Accuracy by repeated cross-validation, its interval, and how much it depends on the split."""

import numpy as np
from pydantic import Field, computed_field

from headstart.evaluation.intervals import in_words, share_interval
from headstart.schema import Positive, Schema, Share, ShareInterval


class CrossValidation(Schema):
    """The result of repeated cross-validation."""

    n: Positive  # images; in each repeat, each is predicted once by a model that never saw it
    n_folds: Positive = Field(alias="folds")
    accuracy: Share
    accuracy_ci95: ShareInterval  # for new images of this kind
    by_fold: tuple[tuple[Share, ...], ...]  # repeat -> the accuracy in each fold

    @computed_field  # type: ignore[prop-decorator]
    @property
    def repeats(self) -> int:
        """How many times the folds were redrawn."""
        return len(self.by_fold)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and highest accuracy that a single split would have shown."""
        accuracies = [accuracy for repeat in self.by_fold for accuracy in repeat]
        return min(accuracies), max(accuracies)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the accuracy over the splits."""
        return float(np.std([accuracy for repeat in self.by_fold for accuracy in repeat], ddof=1))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """The result in plain words."""
        least, most = self.spread
        times = f", repeated {self.repeats} times" if self.repeats > 1 else ""
        return (
            f"Cross-validation in {self.n_folds} folds{times}: {self.accuracy:.1%} ({in_words(self.accuracy_ci95, self.n)}); "
            f"a single split would have shown anything from {least:.1%} to {most:.1%}."
        )


def cross_validation(right: np.ndarray, fold: np.ndarray, groups: np.ndarray) -> CrossValidation:
    """The summary of (n_repeats, n) bool `right` and int `fold`, 0 .. n_folds - 1, and (n,) `groups`.

    An image that is predicted several times counts by its share of right answers. Repeats reduce the randomness of the
    folds, not that of the choice of images, which the interval (Wilson's, by groups) describes.
    """
    n_folds = int(fold.max()) + 1
    by_fold = tuple(tuple(float(r[f == number].mean()) for number in range(n_folds)) for r, f in zip(right, fold, strict=True))
    often = right.mean(axis=0)
    return CrossValidation(
        n=right.shape[1],
        n_folds=n_folds,
        accuracy=float(often.mean()),
        accuracy_ci95=share_interval(often, groups),
        by_fold=by_fold,
    )
