"""The probe: a standardised logistic regression on frozen features, with its strength chosen by cross-validation in train.

The result is a plain linear layer, so a probe and a fine-tuned network are the same kind of model.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.data.splits import can_be_held, fold_count, folds
from headstart.evaluation.calibration import fit_temperature
from headstart.model.features_on_disk import Features
from headstart.model.head import Head
from headstart.model.softmax_regression import MANY, Regression, Solutions, Standardised, fit_path, standardise
from headstart.progress import Progress, silent
from headstart.tasks.probabilities import cross_entropy, softmax
from headstart.threads import cores, map_in_threads, one_blas_thread

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 5))  # 1e-4 .. 1e2, two per decade
LogLosses = tuple[tuple[float, float], ...]  # (strength, held-out log loss), in the order of strengths
DEFAULT_STRENGTH = 1e-2  # if a class is too small for cross-validation
# After this many strengths in a row with a worse held-out log loss, the path is stopped; the second is for above MANY images,
# where the log loss has little noise and a strength takes long.
PATIENCE, PATIENCE_OF_MANY = 2, 1
STAGE_SCALES = (1.0, 2.0)  # of the features of earlier stages, up to MANY images; each of them takes as long as the first


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted head, and how its strength was chosen."""

    head: Head  # at `temperature`, and without the class shares if balanced
    temperature: float  # by which the logits were divided to calibrate the probabilities
    strength: float  # inverse of the L2 penalty, like scikit-learn's C
    n_folds: int  # 0: too few images for cross-validation
    log_losses: LogLosses  # of each strength tried
    held_out: np.ndarray | None  # (n_held, n_classes) float32: logits by heads fitted without the image's fold; None: no folds
    held: np.ndarray  # (n_held,) int64: which of the images these are: all, except of a class that is all one group
    uncalibrated: Head  # `head` before temperature scaling
    stage_scale: float = 1.0  # standard deviation that the features of earlier stages were given

    thresholds = of_labels = ()  # only the probes of several labels have them

    def left_open(self, n_classes: int) -> float:
        """Log loss on held-out images relative to that of guessing; 0 if it was not measured. Of numbers the squared error."""
        guessing = math.log(n_classes) if n_classes > 1 else 1.0
        return min((loss for _, loss in self.log_losses), default=0.0) / guessing


def fit_probe(
    vectors: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    balance: bool = False,
    strength: float | None = None,
    stage_scale: float = 1.0,
    known_scale: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Probe:
    """The probe for (n, n_features) vectors and (n,) labels in 0 .. n_classes - 1; folds keep `groups` together.

    With `rows`, only these rows of `vectors` are used, without copying them; labels and groups are those of the rows.

    The strength is the one with the lowest log loss on held-out images. Log loss uses the full probabilities; accuracy on a few
    hundred images cannot distinguish neighbouring strengths. The temperature is fitted to the same held-out answers. A given
    `strength` is used without cross-validation, in a third of the time, with a given `stage_scale`, and without a temperature.

    The last `n_stage_features` come from earlier stages of the network. The penalty holds all features back alike if they have
    the same standard deviation. Whether those of the stages get a larger one is chosen with the strength: for images unlike
    ImageNet's they tell more (docs/performance.md has the figures). The `known_scale` of nearly the same
    images is not chosen again, which takes half of the time.

    With `balance`, all classes are treated as equally frequent: the logarithms of the class shares are subtracted from the
    logits (logit adjustment, Menon et al. 2021).

    All folds and the fit to all images follow the path of strengths together. A sample of many images would choose too high a
    strength: of 12,000 noisy vectors in 20 classes, one of 5,000 chose 0.3, where the held-out log loss of all is 0.236; at the
    0.03 that all choose it is 0.220.
    """
    with one_blas_thread():
        features = _Features(vectors, np.arange(len(vectors)) if rows is None else rows, n_stage_features)
        scales = STAGE_SCALES if known_scale is None else (known_scale,)
        return _fit_probe(features, labels, groups, n_classes, balance, strength, stage_scale, seed, progress, cores(), scales)


@dataclass(frozen=True, slots=True)
class _Features:
    """What probes are fitted on."""

    vectors: Features  # (n_all, n_features) float32
    rows: np.ndarray  # (n,) int64: which of the vectors
    n_stage_features: int

    def of(self, which: np.ndarray) -> "_Features":
        """Only some of the rows, by number."""
        return replace(self, rows=self.rows[which])

    def standardised(self, stage_scale: float) -> Standardised:
        """With a standard deviation of 1, but of `stage_scale` for the features of earlier stages."""
        emphasis = np.ones(self.vectors.shape[1])
        emphasis[len(emphasis) - self.n_stage_features :] = stage_scale
        return standardise(self.vectors, self.rows, emphasis, steady=True)


def _fit_probe(
    features: _Features,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    balance: bool,
    strength: float | None,
    stage_scale: float,
    seed: int,
    progress: Progress,
    workers: int,
    scales: Sequence[float] = STAGE_SCALES,
) -> Probe:
    """`fit_probe` in some threads; matrix products must take one thread each."""
    n_folds = fold_count(labels, groups)
    by_folds = strength is None and n_folds >= 2
    fold_of = np.full(len(labels), -1)
    if by_folds:
        for number, (_, rows_held) in enumerate(folds(labels, groups, n_folds, seed)):
            fold_of[rows_held] = number

    def regression(stage_scale: float) -> Regression:
        points = features.standardised(stage_scale)
        return Regression(points, labels, n_classes, fold_of, n_folds if by_folds else 0, workers)

    held = np.flatnonzero(can_be_held(labels, groups))
    log_losses: LogLosses = ()
    held_out, temperature = None, 1.0
    if by_folds:
        stage_scale, points, log_losses, solutions = _at_best_scale(regression, features, progress, scales)
        held_out = solutions.held_out[held]
        temperature = fit_temperature(held_out, labels[held])
        held_out = held_out / np.float32(temperature)
    else:
        solutions = _fit(one := regression(stage_scale), strength or DEFAULT_STRENGTH)
        points = one.points
    uncalibrated = points.to_head(solutions.weight[-1], solutions.bias[-1])
    head = uncalibrated.at_temperature(temperature)
    if balance:
        shares = log_shares(labels, n_classes)
        head, uncalibrated = (Head(h.weight, h.bias - shares) for h in (head, uncalibrated))
        held_out = None if held_out is None else held_out - shares
    strength, n_folds = solutions.strength, n_folds if by_folds else 0
    return Probe(head, temperature, strength, n_folds, log_losses, held_out, held, uncalibrated, stage_scale)


def log_shares(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """(n_classes,) float32: the logarithm of each class's share of (n,) labels, with 1 added to every count."""
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return np.log(counts / counts.sum()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """For each image the prediction of a probe that never saw it, not even for strength, scaling or temperature."""

    held: np.ndarray  # (n_held,) int64: which of the images: all, except of a class that is all one group
    probabilities: np.ndarray  # (n_held, n_classes) float64
    uncalibrated: np.ndarray  # (n_held, n_classes) float64: before temperature scaling
    fold: np.ndarray  # (n_held,) int64: which probe made the prediction
    decided: np.ndarray | None = None  # (n_held, n_labels) bool: of several labels those said at the fold's thresholds


def cross_validate(
    vectors: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    n_classes: int,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    n_folds: int = 5,
    balance: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> CrossValidated:
    """Stratified, group-safe cross-validation in `n_folds`, or fewer if the smallest class has fewer groups.

    With `rows`, only these rows of `vectors` are used; labels and groups are those of the rows. Each probe chooses its own
    strength. Probes of up to MANY images are fitted side by side; each of more images uses all cores by itself.
    """
    features = _Features(vectors, np.arange(len(vectors)) if rows is None else rows, n_stage_features)
    probabilities, uncalibrated = np.zeros((2, len(labels), n_classes))
    fold_of = np.zeros(len(labels), np.int64)
    n_folds = fold_count(labels, groups, n_folds)
    side_by_side, each = (cores(), 1) if len(labels) <= MANY else (1, cores())

    def probe_without(part: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, Probe]:
        fit, held = part
        return held, _fit_probe(features.of(fit), labels[fit], groups[fit], n_classes, balance, None, 1.0, seed, silent, each)

    with one_blas_thread():
        found = map_in_threads(probe_without, folds(labels, groups, n_folds, seed), side_by_side)
        for number, (held, probe) in enumerate(found, start=1):
            probabilities[held] = softmax(probe.head.logits_of(vectors, features.rows[held]))
            uncalibrated[held] = softmax(probe.uncalibrated.logits_of(vectors, features.rows[held]))
            fold_of[held] = number - 1
            progress("cross-validating", number, n_folds)
    judged = np.flatnonzero(can_be_held(labels, groups))
    return CrossValidated(judged, probabilities[judged], uncalibrated[judged], fold_of[judged])


def _fit(regression: Regression, strength: float) -> Solutions:
    """The fits at a strength. They follow the path as in the choice of the strength."""
    *_, solutions = fit_path(regression, [*(s for s in STRENGTHS if s < strength), strength])
    return solutions


def _at_best_scale(
    regression: Callable[[float], Regression], features: _Features, progress: Progress, scales: Sequence[float]
) -> tuple[float, Standardised, LogLosses, Solutions]:
    """The scale of the stages' features with the lowest held-out log loss; its points, log losses and best fits."""
    scales = scales if features.n_stage_features and len(features.rows) <= MANY else scales[:1]
    best: tuple[float, Standardised, LogLosses, Solutions] | None = None
    best_loss = math.inf
    for scale in scales:
        one = regression(scale)
        log_losses, solutions = _best(one, progress)
        loss = dict(log_losses)[solutions.strength]
        if best is not None and loss >= best_loss:
            break
        best, best_loss = (scale, one.points, log_losses, solutions), loss
    assert best is not None  # there are scales
    return best


def _best(regression: Regression, progress: Progress) -> tuple[LogLosses, Solutions]:
    """(strength, held-out log loss) along the path until the loss clearly rises, and the fits at the best strength."""
    found: list[tuple[float, float]] = []
    patience = PATIENCE if regression.points.n <= MANY else PATIENCE_OF_MANY
    best: Solutions | None = None
    best_number, best_loss = 0, math.inf
    for number, solutions in enumerate(fit_path(regression, STRENGTHS), start=1):
        loss = _held_out_loss(regression, solutions)
        found.append((solutions.strength, loss))
        progress("choosing the strength", number, len(STRENGTHS))
        if best is None or loss < best_loss:
            best, best_number, best_loss = solutions, number, loss
        if number - best_number >= patience:
            break
    assert best is not None  # there are strengths
    progress("choosing the strength", len(STRENGTHS), len(STRENGTHS))
    return tuple(found), best


def _held_out_loss(regression: Regression, solutions: Solutions) -> float:
    """Mean log loss of the points that a fold holds out."""
    judged = regression.fold_of >= 0
    return cross_entropy(solutions.held_out[judged], regression.labels[judged])
