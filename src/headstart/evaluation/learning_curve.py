"""Whether more images would help: accuracy against the number of images trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.intervals import TOO_FEW, share_interval
from headstart.evaluation.paired import Difference, paired_difference

WORTH = 0.01  # gain of a doubling from which more images are worth their labelling


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The accuracy of models trained on some of the images."""

    share: float  # of the training images
    n_train: int
    accuracy: float
    accuracy_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Points from few training images to all, and what the last doubling of their number gained."""

    points: tuple[CurvePoint, ...]
    difference: Difference  # from half of the images to all, on the very same held-out images

    def sentence(self) -> str:
        """Whether more images would help, in plain words."""
        half, full = next(p for p in self.points if p.share == 0.5), self.points[-1]
        high = self.difference.ci95[1]
        measured = f"from {half.n_train} to {full.n_train} training images the accuracy changed by {self.difference.signed()}"
        if self.difference.is_shown and self.difference.gain >= WORTH:
            return f"More images would likely help: {measured}."
        if high < WORTH and self.difference.n >= TOO_FEW:
            return f"More images of the same kind would hardly help: {measured}."
        return f"Whether more images would help cannot be told from so few: {measured}."

    def as_json(self) -> dict[str, Any]:
        """As metrics.json holds it."""
        return {
            "points": [
                {"share": p.share, "n_train": p.n_train, "accuracy": p.accuracy, "accuracy_ci95": list(p.accuracy_ci95)}
                for p in self.points
            ],
            "gain_of_last_doubling": self.difference.gain,
            "gain_ci95": list(self.difference.ci95),
            "sentence": self.sentence(),
        }


def learning_curve(shares: tuple[float, ...], n_train: tuple[int, ...], right: np.ndarray, groups: np.ndarray) -> LearningCurve:
    """The curve of (n_shares, n) bool `right`: whether models of each share were right on each held-out image.

    The last share is 1 and one is 0.5; `groups` (n,) are what intervals take as belonging together.
    """
    points = tuple(
        CurvePoint(share, n, float(row.mean()), share_interval(row, groups))
        for share, n, row in zip(shares, n_train, right, strict=True)
    )
    return LearningCurve(points, paired_difference(right[-1], right[shares.index(0.5)], groups))
