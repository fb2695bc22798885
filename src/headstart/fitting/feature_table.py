"""The features of a data set, one row per image, for fitting and predicting."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.data.splits import spread_order
from headstart.evaluation.label_thresholds import BEST_F1, ThresholdRule
from headstart.fitting.answers import SplitAnswers
from headstart.model.features_on_disk import Features, first_columns
from headstart.model.label_probes import LabelProbes, cross_validate_labels, fit_label_probes
from headstart.model.probe import CrossValidated, Probe, cross_validate, fit_probe
from headstart.model.ridge import cross_validate_ridge, fit_ridge
from headstart.progress import Progress, silent
from headstart.tasks.one_number import Numbers
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

AnyProbe = Probe | LabelProbes


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
        if isinstance(self.task, Numbers):
            return self._fit_numbers(rows, progress, like, known_scale)
        if isinstance(self.task, SeveralLabels):
            return fit_label_probes(
                self.vectors,
                self.labels[rows],
                self.groups[rows],
                self.names,
                self.thresholds,
                rows=rows,
                n_stage_features=self.n_stage_features,
                like=like if isinstance(like, LabelProbes) else None,
                seed=seed,
                progress=progress,
            )
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
        if isinstance(self.task, Numbers):
            return self._cross_validate_numbers(rows, n_folds, seed, progress)
        if isinstance(self.task, SeveralLabels):
            return cross_validate_labels(
                self.vectors,
                self.labels[rows],
                self.groups[rows],
                self.names,
                self.thresholds,
                rows=rows,
                n_stage_features=self.n_stage_features,
                n_folds=n_folds,
                seed=seed,
                progress=progress,
            )
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

    def _fit_numbers(self, rows: np.ndarray, progress: Progress, like: AnyProbe | None, known_scale: float | None) -> Probe:
        """Ridge regression; its log losses are squared errors, in variances."""
        groups = self.groups[rows]
        ridge = fit_ridge(
            self.vectors,
            self.task.targets(self.labels[rows]),
            groups,
            rows=rows,
            n_stage_features=self.n_stage_features,
            strength=like.strength if like else None,
            stage_scale=like.stage_scale if like else 1.0,
            known_scale=known_scale,
            progress=progress,
        )
        n_groups = len(np.unique(groups)) if ridge.held_out is not None else 0
        errors = tuple((strength, error**2) for strength, error in ridge.errors)
        held_out = None if ridge.held_out is None else ridge.held_out[:, None]
        held = np.arange(len(rows))
        return Probe(ridge.head, 1.0, ridge.strength, n_groups, errors, held_out, held, ridge.head, ridge.stage_scale)

    def _cross_validate_numbers(self, rows: np.ndarray, n_folds: int, seed: int, progress: Progress) -> CrossValidated:
        found = cross_validate_ridge(
            self.vectors,
            self.task.targets(self.labels[rows]),
            self.groups[rows],
            rows=rows,
            n_stage_features=self.n_stage_features,
            n_folds=n_folds,
            seed=seed,
            progress=progress,
        )
        assert found is not None  # whoever asks for folds has counted the groups
        numbers = self.task.probabilities(found.numbers[:, None])
        return CrossValidated(np.arange(len(rows)), numbers, numbers, found.fold)

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
        if not isinstance(probe, LabelProbes):
            return self
        return replace(self, task=self.task.with_thresholds([one.threshold for one in probe.thresholds]))

    def answer(self, probe: AnyProbe, rows: np.ndarray, split: Literal["val", "test"]) -> SplitAnswers:
        """A probe's predictions for some rows."""
        probabilities, uncalibrated = (
            self.task.probabilities(head.logits_of(self.vectors, rows)) for head in (probe.head, probe.uncalibrated)
        )
        # A balanced model's probabilities assume equally frequent classes, which these images do not have.
        before = None if self.balance else uncalibrated
        decided = self.deciding_as(probe).task.decide(probabilities) if isinstance(probe, LabelProbes) else None
        return SplitAnswers(
            split, rows, probabilities, False, uncalibrated=before, temperature=probe.temperature, decided=decided
        )
