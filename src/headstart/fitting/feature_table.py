"""The features of a data set, one row per image, for fitting and predicting."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.evaluation.probabilities import softmax
from headstart.fitting.answers import SplitAnswers
from headstart.model.features_on_disk import Features, first_columns
from headstart.model.probe import CrossValidated, Probe, cross_validate, fit_probe
from headstart.progress import Progress, silent
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Feature vectors with labels and groups, as folds and fits need them."""

    vectors: Features  # (n_images, n_features) float32
    labels: np.ndarray  # (n_images,) int64
    groups: np.ndarray  # (n_images,) int64
    n_classes: int
    balance: bool = False  # whether every class counts as equally frequent
    task: LearningTask = SINGLE_LABEL
    n_stage_features: int = 0  # how many of the last features come from earlier stages of the network

    def of_last_layer(self) -> "FeatureTable":
        """The same without the features of earlier stages."""
        n_last = self.vectors.shape[1] - self.n_stage_features
        return replace(self, vectors=first_columns(self.vectors, n_last), n_stage_features=0)

    def fit(
        self,
        rows: np.ndarray,
        seed: int,
        progress: Progress = silent,
        like: Probe | None = None,
        known_scale: float | None = None,
    ) -> Probe:
        """The probe fitted on some rows, at the strength and scale of another or at those chosen by cross-validation; a
        `known_scale` is not chosen.
        """
        return fit_probe(
            self.vectors,
            self.labels[rows],
            self.groups[rows],
            self.n_classes,
            rows=rows,
            n_stage_features=self.n_stage_features,
            balance=self.balance,
            strength=like.strength if like else None,
            stage_scale=like.stage_scale if like else 1.0,
            known_scale=known_scale,
            seed=seed,
            progress=progress,
        )

    def cross_validate(self, rows: np.ndarray, n_folds: int, seed: int, progress: Progress = silent) -> CrossValidated:
        """Predictions for some rows by probes that never saw them."""
        return cross_validate(
            self.vectors,
            self.labels[rows],
            self.groups[rows],
            self.n_classes,
            rows=rows,
            n_stage_features=self.n_stage_features,
            n_folds=n_folds,
            balance=self.balance,
            seed=seed,
            progress=progress,
        )

    def right(self, logits: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n_rows,) bool: whether the answers that (n_rows, n_classes) logits give to some rows are right."""
        return np.asarray(self.task.decide(softmax(logits)) == self.labels[rows])

    def answer(self, probe: Probe, rows: np.ndarray, split: Literal["val", "test"]) -> SplitAnswers:
        """A probe's predictions for some rows."""
        probabilities, uncalibrated = (softmax(head.logits_of(self.vectors, rows)) for head in (probe.head, probe.uncalibrated))
        # A balanced model's probabilities assume equally frequent classes, which these images do not have.
        before = None if self.balance else uncalibrated
        return SplitAnswers(split, rows, probabilities, False, uncalibrated=before, temperature=probe.temperature)
