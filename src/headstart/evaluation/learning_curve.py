"""Whether more images would help: accuracy against the number of images trained on."""

import numpy as np
from pydantic import Field, computed_field

from headstart.evaluation.intervals import TOO_FEW, share_interval
from headstart.evaluation.paired import Difference, paired_difference
from headstart.schema import Count, Schema, Share, ShareInterval

WORTH = 0.01  # gain of a doubling from which more images are worth their labelling


class CurvePoint(Schema):
    """The accuracy of models trained on some of the images."""

    share: Share  # of the training images
    n_train: Count
    accuracy: Share
    accuracy_ci95: ShareInterval


class LearningCurve(Schema):
    """Points from few training images to all, and what the last doubling of their number gained."""

    points: tuple[CurvePoint, ...]
    difference: Difference = Field(exclude=True)  # from half of the images to all, on the very same held-out images

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gain_of_last_doubling(self) -> float:
        """Accuracy with all training images minus that with half of them."""
        return self.difference.gain

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gain_ci95(self) -> tuple[float, float]:
        """Its 95 % interval."""
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
    """The curve of (n_shares, n) bool `right`: whether models of each share were right on each held-out image.

    The last share is 1 and one is 0.5; `groups` (n,) are what intervals take as belonging together.
    """
    points = tuple(
        CurvePoint(share=share, n_train=n, accuracy=float(row.mean()), accuracy_ci95=share_interval(row, groups))
        for share, n, row in zip(shares, n_train, right, strict=True)
    )
    return LearningCurve(points=points, difference=paired_difference(right[-1], right[shares.index(0.5)], groups))
