"""Whether more images would help: accuracy by number of training images."""

import numpy as np
from pydantic import Field, computed_field

from headstart.evaluation.intervals import TOO_FEW, share_interval
from headstart.evaluation.paired import Difference, paired_difference
from headstart.schema import Count, Schema, Share, ShareInterval

WORTH = 0.01  # gain from doubling above which more images are worth labelling


class CurvePoint(Schema):
    """The accuracy of models trained on part of the images."""

    share: Share  # of the training images
    n_train: Count
    accuracy: Share
    accuracy_ci95: ShareInterval


class LearningCurve(Schema):
    """Accuracy from few training images to all of them, and the gain from the last doubling."""

    points: tuple[CurvePoint, ...]
    difference: Difference = Field(exclude=True)  # from half of the images to all, on the same held-out images

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gain_of_last_doubling(self) -> float:
        """Accuracy with all training images minus that with half of them."""
        return self.difference.gain

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gain_ci95(self) -> tuple[float, float]:
        """The 95 % interval of that gain."""
        return self.difference.ci95

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """Whether more images would help, in plain words."""
        half, full = next(p for p in self.points if p.share == 0.5), self.points[-1]
        high = self.difference.ci95[1]
        measured = f"from {half.n_train} to {full.n_train} training images the accuracy changed by {self.difference.signed()}"
        if self.difference.is_shown and self.difference.gain >= WORTH:
            return f"More images would likely help: {measured}."
        if high < WORTH and self.difference.n >= TOO_FEW:
            return f"More images of the same kind would hardly help: {measured}."
        return f"There are too few images to tell whether more would help: {measured}."


def learning_curve(shares: tuple[float, ...], n_train: tuple[int, ...], right: np.ndarray, groups: np.ndarray) -> LearningCurve:
    """The curve from (n_shares, n) bool `right`: whether the model for each share was right on each held-out image.

    The last share must be 1, and one share must be 0.5. Intervals treat images of one of the (n,) `groups` as related.
    """
    points = tuple(
        CurvePoint(share=share, n_train=n, accuracy=float(row.mean()), accuracy_ci95=share_interval(row, groups))
        for share, n, row in zip(shares, n_train, right, strict=True)
    )
    return LearningCurve(points=points, difference=paired_difference(right[-1], right[shares.index(0.5)], groups))
