"""The probe: a standardised logistic regression on frozen features, its strength chosen by cross-validation inside train.

It ends as a plain linear layer, so that a probe and a fine-tuned network are the same kind of model.
"""

import math
from dataclasses import dataclass

import numpy as np

from headstart.data.splits import fold_count, folds
from headstart.evaluation.calibration import fit_temperature
from headstart.evaluation.probabilities import cross_entropy, softmax
from headstart.model.head import Head
from headstart.model.softmax_regression import fit_path, rotate
from headstart.progress import Progress, silent

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 5))  # 1e-4 .. 1e2, two a decade
DEFAULT_STRENGTH = 1e-2  # where a class is too small for cross-validation
PATIENCE = 2  # strengths in a row that made the held-out log loss worse: the rest of the path is not fitted


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted head and how its strength was chosen."""

    head: Head  # at `temperature`, and with the classes' shares taken out where they are balanced
    temperature: float  # that the fit's logits were divided by, so that probabilities mean what they say
    strength: float  # inverse of the L2 penalty, as scikit-learn's C
    n_folds: int  # 0: too few images for cross-validation
    log_losses: tuple[tuple[float, float], ...]  # (strength, held-out log loss) of each strength tried
    held_out: np.ndarray | None  # (n, n_classes) float32: logits of each image by a head without its fold; None without folds
    uncalibrated: Head  # `head` before the temperature

    def left_open(self, n_classes: int) -> float:
        """Log loss on held-out images as a share of guessing's; 0 where it was not measured."""
        return min((loss for _, loss in self.log_losses), default=0.0) / math.log(n_classes)


def fit_probe(
    vectors: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    *,
    balance: bool = False,
    strength: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Probe:
    """The probe for (n, n_features) vectors and (n,) labels in 0 .. n_classes - 1; folds keep `groups` together.

    The strength is the one with the lowest log loss on held-out images: it uses all that the probabilities say, where
    accuracy on a few hundred images cannot tell neighbours apart. The temperature is fitted to the same held-out answers.
    A `strength` that is given is taken without cross-validation, which is six times as fast; there is no temperature then.
    With `balance` every class counts as equally frequent: the logarithms of the classes' shares are taken off the logits
    (logit adjustment, Menon et al. 2021).
    """
    rotated = rotate(vectors)
    n_folds = fold_count(labels, groups)
    log_losses: tuple[tuple[float, float], ...] = ()
    held_out = None
    if strength is None and n_folds >= 2:
        log_losses, held_out = _held_out(rotated.points, labels, groups, n_classes, n_folds, seed, progress)
        strength = min(log_losses, key=lambda pair: pair[1])[0]
    strength = strength or DEFAULT_STRENGTH
    # Fitted along the path, as in the folds: the start of each fit is part of what was chosen.
    *_, solution = fit_path(rotated.points, labels, n_classes, [s for s in STRENGTHS if s <= strength])
    temperature = 1.0 if held_out is None else fit_temperature(held_out, labels)
    uncalibrated = rotated.to_head(solution)
    head = uncalibrated.at_temperature(temperature)
    if held_out is not None:
        held_out = held_out / np.float32(temperature)
    if balance:
        shares = log_shares(labels, n_classes)
        head, uncalibrated = (Head(h.weight, h.bias - shares) for h in (head, uncalibrated))
        held_out = None if held_out is None else held_out - shares
    return Probe(head, temperature, strength, n_folds if log_losses else 0, log_losses, held_out, uncalibrated)


def log_shares(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """(n_classes,) float32: the logarithm of each class's share of (n,) labels, every class counted once more than it is."""
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return np.log(counts / counts.sum()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """For each image the answer of a probe that never saw it; strength, scaling and temperature were chosen without it too."""

    probabilities: np.ndarray  # (n, n_classes) float64
    uncalibrated: np.ndarray  # (n, n_classes) float64: before the temperature
    fold: np.ndarray  # (n,) int64: which of the probes answered


def cross_validate(
    vectors: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    *,
    n_folds: int = 5,
    balance: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> CrossValidated:
    """Stratified, group-safe cross-validation in `n_folds`, or as many as the smallest class has groups."""
    probabilities, uncalibrated = np.zeros((2, len(labels), n_classes))
    fold_of = np.zeros(len(labels), np.int64)
    n_folds = fold_count(labels, groups, n_folds)
    for number, (fit, held) in enumerate(folds(labels, groups, n_folds, seed), start=1):
        probe = fit_probe(vectors[fit], labels[fit], groups[fit], n_classes, balance=balance, seed=seed)
        probabilities[held] = softmax(probe.head.logits(vectors[held]))
        uncalibrated[held] = softmax(probe.uncalibrated.logits(vectors[held]))
        fold_of[held] = number - 1
        progress("cross-validating", number, n_folds)
    return CrossValidated(probabilities, uncalibrated, fold_of)


def _held_out(
    points: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    n_folds: int,
    seed: int,
    progress: Progress,
) -> tuple[tuple[tuple[float, float], ...], np.ndarray]:
    """(strength, log loss of held-out images) along the path until it has clearly turned upwards; the logits of the best."""
    parts = list(folds(labels, groups, n_folds, seed))
    paths = [fit_path(points[fit], labels[fit], n_classes, STRENGTHS) for fit, _ in parts]
    found: list[tuple[float, float]] = []
    best_loss, best_logits = math.inf, np.zeros((len(labels), n_classes), np.float32)
    for number, strength in enumerate(STRENGTHS, start=1):
        logits = np.empty_like(best_logits)
        for path, (_, held) in zip(paths, parts, strict=True):
            logits[held] = next(path).logits(points[held])
        loss = cross_entropy(logits, labels)
        found.append((strength, loss))
        progress("choosing the strength", number, len(STRENGTHS))
        if loss < best_loss:
            best_loss, best_logits = loss, logits
        best = min(range(len(found)), key=lambda i: found[i][1])
        if len(found) - 1 - best >= PATIENCE:
            break
    progress("choosing the strength", len(STRENGTHS), len(STRENGTHS))
    return tuple(found), best_logits
