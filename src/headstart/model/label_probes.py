"""Probes for images with any number of labels: one for each label, each with its own strength and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.label_sets import HAS, NOT_KNOWN
from headstart.data.splits import fold_count, folds
from headstart.evaluation.label_thresholds import LabelThreshold, ThresholdRule, label_thresholds
from headstart.model.features_on_disk import Features
from headstart.model.head import Head
from headstart.model.probe import DEFAULT_STRENGTH, CrossValidated, LogLosses, Probe, fit_probe
from headstart.progress import Progress, silent
from headstart.tasks.probabilities import sigmoid

NOT_FITTED = 1.0  # images added to those with a label and to those without it, where one kind is missing


@dataclass(frozen=True, slots=True)
class LabelFit:
    """How the probe of one label was fitted."""

    strength: float
    temperature: float
    stage_scale: float
    log_loss: float | None  # of held-out images, in nats; None if there were no folds


@dataclass(frozen=True, slots=True)
class LabelProbes:
    """A fitted head with an output for each label, in logits of having it."""

    head: Head  # (n_labels, n_features), each row at its temperature
    uncalibrated: Head  # before temperature scaling
    of_labels: tuple[LabelFit, ...]
    held_out: np.ndarray | None  # (n_held, n_labels) float32: logits by heads fitted without the image, else NaN
    held: np.ndarray  # (n_held,) int64: which of the images these are
    thresholds: tuple[LabelThreshold, ...]  # chosen on the held-out answers
    n_folds: int

    temperature = 1.0  # each label has its own, which is in the head

    @property
    def strength(self) -> float:
        """The median strength of the labels."""
        return float(np.median([one.strength for one in self.of_labels]))

    @property
    def stage_scale(self) -> float:
        """The median scale of the features of earlier stages."""
        return float(np.median([one.stage_scale for one in self.of_labels]))

    @property
    def log_losses(self) -> LogLosses:
        """None: each label has its own."""
        return ()

    def left_open(self, n_classes: int) -> float:
        """Log loss on held-out images relative to that of guessing, the mean over labels; 0 if it was not measured."""
        known = [one.log_loss for one in self.of_labels if one.log_loss is not None]
        return float(np.mean(known) / np.log(2)) if known else 0.0


def fit_label_probes(
    vectors: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    names: tuple[str, ...],
    rule: ThresholdRule,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    like: LabelProbes | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> LabelProbes:
    """A probe for each column of (n, n_labels) labels, on the images of which it is known whether they have the label.

    See `fit_probe`, of which each is a case of two classes: the folds, the strength and the temperature are those of the label.
    With `like`, the strengths are those of other probes, and there are no held-out answers. The thresholds follow the `rule`.
    """
    places = np.arange(len(vectors)) if rows is None else rows
    fitted = []
    held_out = np.full(labels.shape, np.nan, np.float32)
    for i in range(labels.shape[1]):
        known = np.flatnonzero(labels[:, i] != NOT_KNOWN)
        has = (labels[known, i] == HAS).astype(np.int64)
        if len(np.unique(has)) < 2:
            fitted.append((_constant(has, vectors.shape[1]), LabelFit(DEFAULT_STRENGTH, 1.0, 1.0, None)))
            continue
        before = like.of_labels[i] if like else None
        probe = fit_probe(
            vectors,
            has,
            groups[known],
            2,
            rows=places[known],
            n_stage_features=n_stage_features,
            strength=before.strength if before else None,
            stage_scale=before.stage_scale if before else 1.0,
            seed=seed,
        )
        if probe.held_out is not None:
            held_out[known[probe.held], i] = probe.held_out[:, 1] - probe.held_out[:, 0]
        loss = min((loss for _, loss in probe.log_losses), default=None)
        fitted.append((probe, LabelFit(probe.strength, probe.temperature, probe.stage_scale, loss)))
        progress("fitting a label", i + 1, labels.shape[1])
    held = np.flatnonzero(np.isfinite(held_out).any(axis=1))
    of_held = held_out[held]
    return LabelProbes(
        _joined([probe.head for probe, _ in fitted]),
        _joined([probe.uncalibrated for probe, _ in fitted]),
        tuple(one for _, one in fitted),
        of_held if held.size else None,
        held,
        label_thresholds(sigmoid(of_held), labels[held], names, rule, groups[held]),
        max(probe.n_folds for probe, _ in fitted),
    )


def _constant(has: np.ndarray, n_features: int) -> Probe:
    """The probe of a label that all images have, or none: its logit does not depend on the image."""
    n_with = float(has.sum())
    odds = np.log((n_with + NOT_FITTED) / (len(has) - n_with + NOT_FITTED))
    head = Head(np.zeros((2, n_features), np.float32), np.array([0.0, odds], np.float32))
    return Probe(head, 1.0, DEFAULT_STRENGTH, 0, (), None, np.empty(0, np.int64), head)


def _joined(heads: Sequence[Head]) -> Head:
    """One output for each of several heads of two classes: the difference of their logits."""
    return Head(
        np.stack([head.weight[1] - head.weight[0] for head in heads]),
        np.array([h.bias[1] - h.bias[0] for h in heads], np.float32),
    )


def cross_validate_labels(
    vectors: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    names: tuple[str, ...],
    rule: ThresholdRule,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    n_folds: int = 5,
    seed: int = 0,
    progress: Progress = silent,
) -> CrossValidated:
    """Predictions for all images by probes that never saw them, with every label's share in each fold and groups together.

    Each fold chooses its own strengths, temperatures and thresholds.
    """
    places = np.arange(len(vectors)) if rows is None else rows
    n_folds = fold_count(labels, groups, n_folds)
    probabilities, uncalibrated = np.zeros((2, *labels.shape))
    decided, fold_of = np.zeros(labels.shape, bool), np.zeros(len(labels), np.int64)
    for number, (fit, held) in enumerate(folds(labels, groups, n_folds, seed)):
        probes = fit_label_probes(
            vectors, labels[fit], groups[fit], names, rule, rows=places[fit], n_stage_features=n_stage_features, seed=seed
        )
        probabilities[held] = sigmoid(probes.head.logits_of(vectors, places[held]))
        uncalibrated[held] = sigmoid(probes.uncalibrated.logits_of(vectors, places[held]))
        decided[held] = probabilities[held] >= np.array([one.threshold for one in probes.thresholds])
        fold_of[held] = number
        progress("cross-validating", number + 1, n_folds)
    return CrossValidated(np.arange(len(labels)), probabilities, uncalibrated, fold_of, decided)
