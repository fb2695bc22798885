"""The features of a data set, one row per image, for fitting and predicting."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.data.splits import spread_order
from headstart.evaluation.label_thresholds import BEST_F1, ThresholdRule
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.head_fitters import AnyProbe, HeadFitter, LabelledRows, head_fitter
from headstart.model.features_on_disk import Features, first_columns
from headstart.model.probe import CrossValidated
from headstart.progress import Progress, silent
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Feature vectors with labels and groups, as folds and fits need them."""

    vectors: Features  # (n_images, n_features) float32
    labels: np.ndarray  # (n_images,) int64, or as the task has them
    groups: np.ndarray  # (n_images,) int64
    n_classes: int
    balance: bool = False  # whether every class counts as equally frequent
    task: LearningTask = SINGLE_LABEL
    names: tuple[str, ...] = ()  # of the classes
    strata: np.ndarray | None = None  # (n_images,) int64: the kind of each image, by which samples are drawn; None: its label
    thresholds: ThresholdRule = BEST_F1  # how those of several labels are chosen
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
        like: AnyProbe | None = None,
        known_scale: float | None = None,
    ) -> AnyProbe:
        """The probe fitted on some rows, at the strength and scale of another or at those chosen by cross-validation; a
        `known_scale` is not chosen.
        """
        return self._fitter.fit(self._of(rows), seed, progress, like, known_scale)

    def cross_validate(self, rows: np.ndarray, n_folds: int, seed: int, progress: Progress = silent) -> CrossValidated:
        """Predictions for some rows by probes that never saw them."""
        return self._fitter.cross_validate(self._of(rows), n_folds, seed, progress)

    @property
    def _fitter(self) -> HeadFitter:
        return head_fitter(self.task, self.n_classes, self.names, self.thresholds, balance=self.balance)

    def _of(self, rows: np.ndarray) -> LabelledRows:
        return LabelledRows(self.vectors, rows, self.labels[rows], self.groups[rows], self.n_stage_features)

    def right(self, logits: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n_rows,) bool: whether the answers that (n_rows, n_classes) logits give to some rows are right."""
        return self.task.right(self.task.probabilities(logits), self.labels[rows])

    def loss(self, logits: np.ndarray, rows: np.ndarray) -> float:
        """The mean loss of some rows' logits, in nats."""
        return float(self.task.losses(logits, self.labels[rows]).mean())

    def drawn(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """The rows in an order in which each beginning holds all kinds of images by their shares."""
        return rows[spread_order((self.labels if self.strata is None else self.strata)[rows], seed)]

    def deciding_as(self, probe: AnyProbe) -> "FeatureTable":
        """The same with the thresholds of a probe, where it has any."""
        return replace(self, task=self.task.with_thresholds([one.threshold for one in probe.thresholds]))

    def answer(self, probe: AnyProbe, rows: np.ndarray, split: Literal["val", "test"]) -> SplitAnswers:
        """A probe's predictions for some rows."""
        probabilities, uncalibrated = (
            self.task.probabilities(head.logits_of(self.vectors, rows)) for head in (probe.head, probe.uncalibrated)
        )
        # A balanced model's probabilities assume equally frequent classes, which these images do not have.
        before = None if self.balance else uncalibrated
        decided = self.deciding_as(probe).task.decide(probabilities) if probe.thresholds else None
        return SplitAnswers(
            split, rows, probabilities, False, uncalibrated=before, temperature=probe.temperature, decided=decided
        )
