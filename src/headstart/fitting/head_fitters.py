"""How the head of each kind of answer is fitted on features, and what cross-validation says of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.label_thresholds import ThresholdRule
from headstart.model.features_on_disk import Features
from headstart.model.label_probes import LabelProbes, cross_validate_labels, fit_label_probes
from headstart.model.probe import CrossValidated, Probe, cross_validate, fit_probe
from headstart.model.ridge import cross_validate_ridge, fit_ridge
from headstart.progress import Progress
from headstart.tasks.one_number import Numbers
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.task import LearningTask

AnyProbe = Probe | LabelProbes


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Some images of a data set: what a head is fitted on."""

    vectors: Features  # (n_images, n_features) float32, of all images
    rows: np.ndarray  # (n,) int64: which of these
    labels: np.ndarray  # (n,) int64, or as the task has them
    groups: np.ndarray  # (n,) int64
    n_stage_features: int  # how many of the last features come from earlier stages of the network


class HeadFitter(ABC):
    """Fits heads for one kind of answer."""

    @abstractmethod
    def fit(
        self, images: LabelledRows, seed: int, progress: Progress, like: AnyProbe | None, known_scale: float | None
    ) -> AnyProbe:
        """The probe of the images, at the strength and scale of another of this fitter or at those chosen by cross-validation;
        a `known_scale` is not chosen.
        """

    @abstractmethod
    def cross_validate(self, images: LabelledRows, n_folds: int, seed: int, progress: Progress) -> CrossValidated:
        """Predictions for the images by probes that never saw them."""


@dataclass(frozen=True, slots=True)
class ClassFitter(HeadFitter):
    """Logistic regression: one class an image."""

    n_classes: int
    balance: bool  # whether every class counts as equally frequent

    def fit(
        self, images: LabelledRows, seed: int, progress: Progress, like: AnyProbe | None, known_scale: float | None
    ) -> Probe:
        return fit_probe(
            images.vectors,
            images.labels,
            images.groups,
            self.n_classes,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            balance=self.balance,
            strength=like.strength if like else None,
            stage_scale=like.stage_scale if like else 1.0,
            known_scale=known_scale,
            seed=seed,
            progress=progress,
        )

    def cross_validate(self, images: LabelledRows, n_folds: int, seed: int, progress: Progress) -> CrossValidated:
        return cross_validate(
            images.vectors,
            images.labels,
            images.groups,
            self.n_classes,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            n_folds=n_folds,
            balance=self.balance,
            seed=seed,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class LabelFitter(HeadFitter):
    """A logistic regression for each of several labels, with its threshold."""

    names: tuple[str, ...]  # of the labels
    thresholds: ThresholdRule  # how they are chosen

    def fit(
        self, images: LabelledRows, seed: int, progress: Progress, like: AnyProbe | None, known_scale: float | None
    ) -> LabelProbes:
        """Each label chooses its own scale: there is none that could be known of all."""
        assert like is None or isinstance(like, LabelProbes)
        return fit_label_probes(
            images.vectors,
            images.labels,
            images.groups,
            self.names,
            self.thresholds,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            like=like,
            seed=seed,
            progress=progress,
        )

    def cross_validate(self, images: LabelledRows, n_folds: int, seed: int, progress: Progress) -> CrossValidated:
        return cross_validate_labels(
            images.vectors,
            images.labels,
            images.groups,
            self.names,
            self.thresholds,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            n_folds=n_folds,
            seed=seed,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class NumberFitter(HeadFitter):
    """Ridge regression on numbers as the network's output has them; its log losses are squared errors, in variances."""

    task: Numbers

    def fit(
        self, images: LabelledRows, seed: int, progress: Progress, like: AnyProbe | None, known_scale: float | None
    ) -> Probe:
        """Nothing is drawn at random: the strength is chosen by leaving out each group in turn."""
        ridge = fit_ridge(
            images.vectors,
            self.task.targets(images.labels),
            images.groups,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            strength=like.strength if like else None,
            stage_scale=like.stage_scale if like else 1.0,
            known_scale=known_scale,
            progress=progress,
        )
        n_groups = len(np.unique(images.groups)) if ridge.held_out is not None else 0
        errors = tuple((strength, error**2) for strength, error in ridge.errors)
        held_out = None if ridge.held_out is None else ridge.held_out[:, None]
        held = np.arange(len(images.rows))
        return Probe(ridge.head, 1.0, ridge.strength, n_groups, errors, held_out, held, ridge.head, ridge.stage_scale)

    def cross_validate(self, images: LabelledRows, n_folds: int, seed: int, progress: Progress) -> CrossValidated:
        found = cross_validate_ridge(
            images.vectors,
            self.task.targets(images.labels),
            images.groups,
            rows=images.rows,
            n_stage_features=images.n_stage_features,
            n_folds=n_folds,
            seed=seed,
            progress=progress,
        )
        assert found is not None  # whoever asks for folds has counted the groups
        numbers = self.task.probabilities(found.numbers[:, None])
        return CrossValidated(np.arange(len(images.rows)), numbers, numbers, found.fold)


def head_fitter(
    task: LearningTask, n_classes: int, names: tuple[str, ...], thresholds: ThresholdRule, *, balance: bool
) -> HeadFitter:
    """What fits heads for the answers of a task: the only place that tells kinds of answers apart here."""
    if isinstance(task, Numbers):
        return NumberFitter(task)
    return LabelFitter(names, thresholds) if isinstance(task, SeveralLabels) else ClassFitter(n_classes, balance)
