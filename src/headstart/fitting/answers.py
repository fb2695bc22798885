"""A model's predictions for images of a data set."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class SplitAnswers:
    """Probabilities for some images of the data set."""

    split: Literal["val", "test", "cv"]
    indices: np.ndarray  # (n,) int64, into Dataset.images
    probabilities: np.ndarray  # (n, n_classes) float64
    selected_on: bool
    by_epoch: np.ndarray | None = None  # (n_epochs, n) int64: predictions of each epoch, if the best was chosen on these
    uncalibrated: np.ndarray | None = None  # (n, n_classes) float64: before the temperature
    # The same at temperatures fitted on other images, if the model's own was fitted on these.
    calibrated_apart: np.ndarray | None = None
    temperature: float = 1.0  # of these probabilities
    # (n, n_labels) bool: of several labels those that are said, at thresholds that were not chosen on these images.
    decided: np.ndarray | None = None

    def in_words(self) -> str:
        """Which images these are."""
        return {"cv": "train, each predicted by a model that never saw it", "val": "val", "test": "test"}[self.split]

    def decisions(self, task: LearningTask) -> np.ndarray:
        """What the answers are, as the task has them."""
        return task.decide(self.probabilities) if self.decided is None else self.decided

    def only(self, kept: np.ndarray) -> "SplitAnswers":
        """The answers for some of the images, given as (n,) bool."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[kept]

        return replace(
            self,
            indices=self.indices[kept],
            probabilities=self.probabilities[kept],
            by_epoch=None if self.by_epoch is None else self.by_epoch[:, kept],
            uncalibrated=of(self.uncalibrated),
            calibrated_apart=of(self.calibrated_apart),
            decided=of(self.decided),
        )
