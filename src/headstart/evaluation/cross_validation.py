"""Accuracy by repeated cross-validation, its interval, and how much it depends on the split."""

import numpy as np
from pydantic import Field, computed_field

from headstart.evaluation.intervals import in_words, share_interval
from headstart.schema import Positive, Schema, Share, ShareInterval


class CrossValidation(Schema):
    """The result of repeated cross-validation."""

    n: Positive  # images; in each repeat, each is predicted once by a model that never saw it
    n_groups: Positive  # unrelated groups among the images; n if each image is its own group
    n_folds: Positive = Field(alias="folds")
    accuracy: Share
    accuracy_ci95: ShareInterval  # of the model fitted on all of them, for new images of this kind
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
        certain = in_words(self.accuracy_ci95, self.n, self.n_groups)
        return (
            f"Cross-validation in {self.n_folds} folds{times}: {self.accuracy:.1%} ({certain}); "
            f"a single split would have shown anything from {least:.1%} to {most:.1%}."
        )


def cross_validation(right: np.ndarray, fold: np.ndarray, groups: np.ndarray) -> CrossValidation:
    """The summary of (n_repeats, n) bool `right` and int `fold`, 0 .. n_folds - 1, and (n,) `groups`.

    An image that is predicted several times counts by its share of right answers.

    The interval is for the model that is fitted on all the images. The plain one of the images (and groups) holds the mean
    accuracy of such models (Bayle, Bayle, Janson and Mackey 2020). That of a single model also depends on which images it was
    fitted on, and the folds' models share most of theirs, so that their spread does not show it. The variance is therefore
    raised as that of the corrected resampled t-test is (Nadeau and Bengio 2003), 1 / n_repeats + n_folds / (n_folds - 1) times.
    """
    n_folds = int(fold.max()) + 1
    by_fold = tuple(tuple(float(r[f == number].mean()) for number in range(n_folds)) for r, f in zip(right, fold, strict=True))
    often = right.mean(axis=0)
    return CrossValidation(
        n=right.shape[1],
        n_groups=len(np.unique(groups)),
        n_folds=n_folds,
        accuracy=float(often.mean()),
        accuracy_ci95=share_interval(often, groups, 1 / len(right) + n_folds / (n_folds - 1)),
        by_fold=by_fold,
    )
