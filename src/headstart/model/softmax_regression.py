"""Fast softmax (multinomial logistic) regression with an L2 penalty, for a path of strengths and several folds at once."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from headstart.model.features_on_disk import Features
from headstart.model.head import Head
from headstart.model.lbfgs import Answer, Precondition, minimise_together, search
from headstart.threads import map_in_threads

TOLERANCE = 1e-4  # relative decrease of the objective at which a fit ends; changes the held-out log loss by less than 0.002
MANY = 8_000  # above this number of images no standardised copy is kept: rows are standardised whenever they are needed
AT_ONCE = 2_048  # rows that are worked on together
FOR_ONE = 1_024  # up to so many, a second thread would take longer to ask than it saves
SEEN = 2_048  # points that the principal axes are found from, or somewhat more
AXES = 64  # principal axes along which the curvature is known before the first step
COLUMNS = 256  # classes times fits that are searched for together
LEAST_SPREAD = 1e-3  # of that at uniform probabilities: where every point is certain, the curvature would be 0
FEW = 3  # with less than a third as many images as features, the images' own span replaces the features


@dataclass(frozen=True, slots=True)
class Standardised:
    """Features with mean 0 and standard deviation 1, in float32; of few images, in coordinates of the space they span.

    An L2 penalty is invariant to rotation, and n images span at most n dimensions: the fits are the same at lower cost.
    """

    vectors: Features  # (n, n_columns) float32: the points; or, with `rows`, (n_all, n_features) as they were given
    rows: np.ndarray | None  # (n,) int64: which of the given vectors; they are standardised whenever they are needed
    mean: np.ndarray  # (n_features,) float64
    scale: np.ndarray  # (n_features,) float64: standard deviation, or 1 if a feature is constant; divided by its emphasis
    axes: np.ndarray | None  # (n_features, n_columns) float32, orthonormal columns; None: the features themselves

    @property
    def n(self) -> int:
        """The number of points."""
        return len(self.vectors if self.rows is None else self.rows)

    @property
    def n_columns(self) -> int:
        """The number of coordinates of a point."""
        return self.vectors.shape[1]

    def part(self, part: slice) -> np.ndarray:
        """(n_part, n_columns) float32: some of the points."""
        if self.rows is None:
            return self.vectors[part]
        return _scaled(self.vectors[self.rows[part]], self.mean, self.scale)

    def some(self, which: np.ndarray) -> np.ndarray:
        """(n_which, n_columns) float32: some of the points, by number."""
        if self.rows is None:
            return self.vectors[which]
        return _scaled(self.vectors[self.rows[which]], self.mean, self.scale)

    def parts(self) -> list[slice]:
        """The points in an even number of parts of the same size, at most AT_ONCE; few are one part."""
        n_parts = 2 * math.ceil(self.n / AT_ONCE / 2) if self.n > min(FOR_ONE, AT_ONCE) else 1
        edges = [self.n * number // n_parts for number in range(n_parts + 1)]
        return [slice(start, stop) for start, stop in pairwise(edges)]

    def to_head(self, weight: np.ndarray, bias: np.ndarray) -> Head:
        """The head on raw features with the same logits as (n_classes, n_columns) weight and (n_classes,) bias on points."""
        raw = (weight if self.axes is None else weight @ self.axes.T) / self.scale
        return Head(raw.astype(np.float32), (bias - raw @ self.mean).astype(np.float32))


def _scaled(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    points = vectors - mean.astype(np.float32)
    points *= (1 / scale).astype(np.float32)
    return points


def standardise(
    vectors: Features,
    rows: np.ndarray | None = None,
    emphasis: np.ndarray | None = None,
    *,
    steady: bool = False,
    in_place: bool = False,
) -> Standardised:
    """(n, n_features) vectors, or only `rows` of them, standardised. No information is lost.

    (n_features,) `emphasis` are standard deviations other than 1: a penalty holds features with a larger one back less. With
    `in_place` the vectors, all of them, are the caller's to give away: many are then standardised once, where they are.

    A feature that hardly varies among few images, by chance, may be thousands of standard deviations off in another, and then
    decides alone. With `steady` the variance is that of the images and of one more, in which all features, which must be of the
    same kind, vary as the median one does: a few images are steadied by it, and many hardly changed. A probe of 40 labels is
    right on up to 4 points more of new images, one of all on as many as before (benchmarks/few_labels.py, docs/performance.md).
    """
    rows = np.arange(len(vectors)) if rows is None else rows
    n, n_features = len(rows), vectors.shape[1]
    parts = [rows[start : start + AT_ONCE] for start in range(0, n, AT_ONCE)]
    mean = sum(vectors[part].sum(axis=0, dtype=np.float64) for part in parts) / n
    variance = sum(((vectors[part] - mean) ** 2).sum(axis=0) for part in parts) / n
    if steady:
        variance = (n * variance + np.median(variance)) / (n + 1)
    scale = np.sqrt(variance)
    scale[scale < 1e-8] = 1.0
    if emphasis is not None:
        scale /= emphasis
    if n > MANY and in_place:
        assert isinstance(vectors, np.ndarray)  # a file is nobody's to standardise in
        for start in range(0, n, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            vectors[part] = _scaled(vectors[part], mean, scale)
        return Standardised(vectors, None, mean, scale, None)
    if n > MANY:
        return Standardised(vectors, rows, mean, scale, None)
    points = _scaled(vectors[rows], mean, scale)
    axes = None
    if FEW * n < n_features:
        axes, coordinates = np.linalg.qr(points.T)
        points = np.ascontiguousarray(coordinates.T)
    return Standardised(points, None, mean, scale, axes)


@dataclass(frozen=True, slots=True)
class Solutions:
    """Fits at one strength: without each of the folds, and the last one to all points."""

    strength: float  # inverse of the L2 penalty, like scikit-learn's C
    weight: np.ndarray  # (n_fits, n_classes, n_columns) float32
    bias: np.ndarray  # (n_fits, n_classes) float32
    held_out: np.ndarray  # (n, n_classes) float32: logits by the fit without the point's fold; 0 if the point is in no fold
    spread: np.ndarray  # (n_fits, n_classes) float64: mean of p * (1 - p) over the points fitted to


@dataclass(frozen=True, slots=True)
class Regression:
    """What is fitted to what."""

    points: Standardised
    labels: np.ndarray  # (n,) int64
    n_classes: int
    fold_of: np.ndarray  # (n,) int64: the fold of each point, from 0; -1 if it is in no fold
    n_folds: int
    workers: int = 1  # threads; the results do not depend on their number

    @property
    def n_fits(self) -> int:
        """One fit without each fold, and one to all points."""
        return self.n_folds + 1

    def fitted(self, fit: int, part: slice = slice(None)) -> np.ndarray:
        """(n_part,) bool: which points of a part a fit is fitted to."""
        return self.fold_of[part] != fit  # the last fit's number is no fold's

    def over_parts(self, function: Callable[[slice], tuple[np.ndarray, ...]]) -> Iterator[tuple[np.ndarray, ...]]:
        """What `function` says of each part of the points, in order."""
        parts = self.points.parts()
        workers = min(self.workers, len(parts))
        return map(function, parts) if workers == 1 else map_in_threads(function, parts, workers)


def fit_path(regression: Regression, strengths: Sequence[float], begin: Solutions | None = None) -> Iterator[Solutions]:
    """Yields the fits at each of the increasing `strengths`.

    Each minimises strength * (sum of cross-entropies) + |weight|^2 / 2; the bias is not penalised. A fit begins where the two
    before it lead: along a path of strengths, the minima lie on a smooth curve of the logarithm of the strength. That saves
    more than half of the steps. A single strength without a path takes as many steps as the path that leads there; or a few, if
    it begins at fits of before, `begin`, to almost the same points in the same coordinates, with as many folds and classes.
    """
    curvature = _Curvature.of(regression.points)
    earlier: Solutions | None = None
    last = begin
    for strength in strengths:
        places = _beginning(regression, strength, earlier, last)
        spread = np.full(places.shape[:2], _uniform(regression.n_classes)) if last is None else last.spread
        found: list[np.ndarray] = []
        at_once = max(1, COLUMNS // regression.n_classes)
        for first in range(0, regression.n_fits, at_once):
            searches = {}
            for fit in range(first, min(first + at_once, regression.n_fits)):
                precondition = curvature.preconditioner(strength, regression.fitted(fit).sum(), spread[fit])
                searches[fit] = search(places[fit], precondition, TOLERANCE)
            found += minimise_together(searches, partial(_evaluate, regression, strength)).values()
        earlier, last = last, _solutions(regression, strength, np.stack(found))
        yield last


def _uniform(n_classes: int) -> float:
    """p * (1 - p) where all classes are as likely."""
    return (1 - 1 / n_classes) / n_classes


def _beginning(regression: Regression, strength: float, earlier: Solutions | None, last: Solutions | None) -> np.ndarray:
    """(n_fits, n_classes, n_columns + 1) float32: where the fits begin; the last column is the bias."""
    if last is None:
        return np.zeros((regression.n_fits, regression.n_classes, regression.points.n_columns + 1), np.float32)
    place = np.concatenate([last.weight, last.bias[:, :, None]], axis=2)
    if earlier is not None:
        before = np.concatenate([earlier.weight, earlier.bias[:, :, None]], axis=2)
        ratio = math.log(strength / last.strength) / math.log(last.strength / earlier.strength)
        place += np.float32(ratio) * (place - before)
    return place


def _evaluate(regression: Regression, strength: float, places: dict[int, np.ndarray]) -> dict[int, Answer]:
    """The objective and its gradient for some fits at their places."""
    fits, stacked = list(places), np.stack(list(places.values()))
    weight, bias = stacked[:, :, :-1], stacked[:, :, -1]
    flat = weight.reshape(-1, weight.shape[2])

    def of_part(part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points, labels = regression.points.part(part), regression.labels[part]
        logits = (flat @ points.T).reshape(*bias.shape, len(points)) + bias[:, :, None]
        fitted = np.stack([regression.fitted(fit, part) for fit in fits])
        at = np.arange(len(points))
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[:, labels, at]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1)
        losses = ((np.log(sums) - right) * fitted).sum(axis=1, dtype=np.float64)
        factor = fitted * np.float32(strength)
        logits *= (factor / sums)[:, None]
        logits[:, labels, at] -= factor
        return losses, (logits.reshape(-1, len(points)) @ points).reshape(weight.shape), logits.sum(axis=2)

    losses, gradient, of_bias = np.zeros(len(fits)), weight.copy(), np.zeros_like(bias)
    for loss, slope, slope_of_bias in regression.over_parts(of_part):
        losses += loss
        gradient += slope
        of_bias += slope_of_bias
    gradients = np.concatenate([gradient, of_bias[:, :, None]], axis=2)
    values = strength * losses + 0.5 * np.einsum("fcp,fcp->f", weight, weight, dtype=np.float64)
    return {fit: (float(value), gradient) for fit, value, gradient in zip(fits, values, gradients, strict=True)}


def _solutions(regression: Regression, strength: float, places: np.ndarray) -> Solutions:
    """The fits that were found, with what they say of the points."""
    weight, bias = np.ascontiguousarray(places[:, :, :-1]), np.ascontiguousarray(places[:, :, -1])
    flat = weight.reshape(-1, weight.shape[2])

    def of_part(part: slice) -> tuple[np.ndarray, np.ndarray]:
        points, fold = regression.points.part(part), regression.fold_of[part]
        logits = (flat @ points.T).reshape(*bias.shape, len(points)) + bias[:, :, None]
        held_out = logits[fold, :, np.arange(len(points))]
        held_out[fold < 0] = 0
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        logits *= 1 - logits
        fitted = np.stack([regression.fitted(fit, part) for fit in range(regression.n_fits)])
        return held_out, (logits * fitted[:, None]).sum(axis=2, dtype=np.float64)

    held_out, spread = [], np.zeros(bias.shape)
    for answers, sums in regression.over_parts(of_part):
        held_out.append(answers)
        spread += sums
    spread /= np.array([regression.fitted(fit).sum() for fit in range(regression.n_fits)])[:, None]
    return Solutions(strength, weight, bias, np.concatenate(held_out), spread)


@dataclass(frozen=True, slots=True)
class _Curvature:
    """The eigenvalues of points' second moments along their principal axes: the curvature of the loss, but for a factor.

    Found with random directions (Halko, Martinsson and Tropp 2011); as a preconditioner of few axes and a constant for the rest
    it is that of Frangella, Tropp and Udell 2021. All axes would make the fits no faster, and take longer than they do.
    """

    axes: np.ndarray  # (n_columns, n_axes) float32
    moments: np.ndarray  # (n_axes,) float64: mean square of a point's coordinate along an axis
    rest: float  # the same, on average over all other directions

    @classmethod
    def of(cls, points: Standardised) -> "_Curvature":
        """Of SEEN points or somewhat more, spread evenly."""
        every = slice(None, None, max(1, points.n // SEEN))
        sample = points.part(every)
        n_axes = min(AXES, *sample.shape)
        random = np.random.default_rng(0).normal(size=(sample.shape[1], n_axes)).astype(np.float32)
        basis = np.linalg.qr(sample.T @ (sample @ random))[0]
        within = sample @ basis
        moments, turn = np.linalg.eigh((within.T @ within).astype(np.float64) / len(sample))
        left = float(np.square(sample).mean(dtype=np.float64)) * sample.shape[1] - moments.sum()
        rest = min(max(left, 0.0) / max(sample.shape[1] - n_axes, 1), float(moments[0]))
        return cls(basis @ turn.astype(np.float32), np.maximum(moments, 0), max(rest, 0.0))

    def preconditioner(self, strength: float, n: int, spread: np.ndarray) -> Precondition:
        """Divides a gradient by the curvature of a fit to `n` points whose certainty (n_classes,) `spread` says."""
        n_classes = len(spread)
        # The curvature is that of diag(p) - p p^T: more than its diagonal; at uniform p, 1 / n_classes across the classes.
        factor = strength * n * np.maximum(spread, LEAST_SPREAD * _uniform(n_classes)) * (n_classes / (n_classes - 1))
        rest = 1 / (factor * self.rest + 1)
        along = (1 / (factor[:, None] * self.moments + 1) - rest[:, None]).astype(np.float32)
        rest, of_bias = rest.astype(np.float32)[:, None], (1 / factor).astype(np.float32)

        def precondition(gradient: np.ndarray) -> np.ndarray:
            of_weight = gradient[:, :-1]
            found = np.empty_like(gradient)
            found[:, :-1] = rest * of_weight + ((of_weight @ self.axes) * along) @ self.axes.T
            found[:, -1] = of_bias * gradient[:, -1]
            return found

        return precondition
