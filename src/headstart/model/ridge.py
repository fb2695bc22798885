"""The probe of numbers: ridge regression on frozen features, its strength chosen by predictions for groups that were left out.

Ridge regression (Hoerl and Kennard 1970) is least squares with an L2 penalty. One eigendecomposition of the features' second
moments, or of the images' products where there are fewer images than features, gives the fits at all strengths; and without
fitting anything anew it also gives what the fit to all other images would say of each group of images: with H the matrix that
makes predictions of labels, the residuals of a group left out are (I - H_gg)^-1 times its residuals (the block form of Allen's
PRESS, 1974; Golub, Heath and Wahba 1979). So each group is left out by itself, not a fifth of all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.number_strata import strata_of
from headstart.data.splits import folds
from headstart.model.features_on_disk import Features
from headstart.model.head import Head
from headstart.model.softmax_regression import AT_ONCE, MANY, Standardised, standardise
from headstart.progress import Progress, silent
from headstart.threads import cores, map_in_threads, one_blas_thread

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-14, 5))  # 1e-7 .. 1e2, two per decade
DEFAULT_STRENGTH = 1e-3  # if all images are one group
STAGE_SCALES = (1.0, 2.0)  # of the features of earlier stages, up to MANY images; each of them takes as long as the first
NOISE = 1e-12  # of the largest second moment: below it there is only rounding
STAGE = "choosing the strength"


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted head with one output, and how its strength was chosen."""

    head: Head  # weight (1, n_features), bias (1,)
    strength: float  # inverse of the L2 penalty on standardised features: 1 / alpha of scikit-learn's Ridge
    errors: tuple[tuple[float, float], ...]  # (strength, root mean squared error on left out groups) in order; empty: one group
    held_out: np.ndarray | None  # (n,) float64: the number for each image by a fit without its group; None: all are one group
    stage_scale: float = 1.0  # standard deviation that the features of earlier stages were given


def fit_ridge(
    vectors: Features,
    numbers: np.ndarray,
    groups: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    strength: float | None = None,
    stage_scale: float = 1.0,
    known_scale: float | None = None,
    progress: Progress = silent,
) -> Ridge:
    """The head for (n, n_features) vectors and (n,) numbers, n at least 1.

    With `rows`, only these rows of `vectors` are used, without copying them; numbers and groups are those of the rows.

    The strength is the one with the lowest squared error on images whose whole group was left out. A given `strength` is used,
    with a given `stage_scale`, without a choice. The last `n_stage_features` come from earlier stages of the network; whether
    they get a larger standard deviation, so that the penalty holds them back less, is chosen with the strength, unless there is
    a `known_scale`. Numbers are standardised inside: strengths mean the same in millimetres and in metres.

    The standardisation of the features, steady as that of the classes' probe, sees all images, also those left out.
    """
    rows = np.arange(len(vectors)) if rows is None else rows
    scales: Sequence[float] = STAGE_SCALES if known_scale is None else (known_scale,)
    with one_blas_thread():
        if strength is not None:
            return _at(vectors, rows, numbers, n_stage_features, strength, stage_scale, cores())
        return _chosen(vectors, rows, numbers, groups, n_stage_features, scales, progress, cores())


@dataclass(frozen=True, slots=True)
class CrossValidatedNumbers:
    """For each image the number by a head that never saw it, not even for strength or scaling."""

    numbers: np.ndarray  # (n,) float64
    fold: np.ndarray  # (n,) int64: which head said so


def cross_validate_ridge(
    vectors: Features,
    numbers: np.ndarray,
    groups: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    n_stage_features: int = 0,
    n_folds: int = 5,
    seed: int = 0,
    progress: Progress = silent,
) -> CrossValidatedNumbers | None:
    """Group-safe cross-validation in `n_folds`, or fewer if there are fewer groups; None if all images are one group.

    Folds are alike in their numbers (see `strata_of`). Each head chooses its own strength.
    """
    rows = np.arange(len(vectors)) if rows is None else rows
    n_folds = min(n_folds, len(np.unique(groups)))
    if n_folds < 2:
        return None
    found, fold_of = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    side_by_side, each = (cores(), 1) if len(rows) <= MANY else (1, cores())

    def without(part: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, Ridge]:
        fit, held = part
        ridge = _chosen(vectors, rows[fit], numbers[fit], groups[fit], n_stage_features, STAGE_SCALES, silent, each)
        return held, ridge

    with one_blas_thread():
        parts = folds(strata_of(numbers, groups), groups, n_folds, seed)
        for number, (held, ridge) in enumerate(map_in_threads(without, parts, side_by_side)):
            found[held] = numbers_of(ridge.head, vectors, rows[held])
            fold_of[held] = number
            progress("cross-validating", number + 1, n_folds)
    return CrossValidatedNumbers(found, fold_of)


def numbers_of(head: Head, vectors: Features, rows: np.ndarray) -> np.ndarray:
    """(n_rows,) float64: the numbers that a head with one output gives to some rows."""
    return head.logits_of(vectors, rows)[:, 0].astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Target:
    """Numbers with mean 0 and standard deviation 1."""

    values: np.ndarray  # (n,) float64
    mean: float
    scale: float  # 1 if all are the same

    @classmethod
    def of(cls, numbers: np.ndarray) -> "_Target":
        mean, scale = float(numbers.mean(dtype=np.float64)), float(numbers.std(dtype=np.float64))
        scale = scale if scale > 0 else 1.0
        return cls((numbers - mean) / scale, mean, scale)


@dataclass(frozen=True, slots=True)
class _Turned:
    """Points turned to the principal axes of their second moments: there the fits at all strengths are divisions."""

    points: Standardised
    centre: np.ndarray  # (n_columns,) float64: what rounding left of the points' mean
    moments: np.ndarray  # (n_axes,) float64, positive: sums of squares along the axes
    axes: np.ndarray  # (n_columns, n_axes) float64, orthonormal columns
    loadings: np.ndarray  # (n_axes,) float64: products of the coordinates with the target

    @classmethod
    def of(cls, points: Standardised, target: np.ndarray, workers: int) -> "_Turned":
        """The axes of the points with their products with the (n,) target, which has mean 0."""
        parts = points.parts()
        sums = map_in_threads(lambda part: points.part(part).sum(axis=0, dtype=np.float64), parts, workers)
        centre = sum(sums) / points.n
        if points.n <= points.n_columns:
            centred = points.part(slice(None)) - centre
            moments, turn = np.linalg.eigh(centred @ centred.T)
            kept = moments > NOISE * max(float(moments[-1]), NOISE)
            axes = centred.T @ (turn[:, kept] / np.sqrt(moments[kept]))
            return cls(points, centre, moments[kept], axes, np.sqrt(moments[kept]) * (target @ turn[:, kept]))

        def products(part: slice) -> tuple[np.ndarray, np.ndarray]:
            centred = points.part(part) - centre
            return centred.T @ centred, target[part] @ centred

        squares, with_target = np.zeros((points.n_columns, points.n_columns)), np.zeros(points.n_columns)
        for square, product in map_in_threads(products, parts, workers):
            squares += square
            with_target += product
        moments, axes = np.linalg.eigh(squares)
        kept = moments > NOISE * max(float(moments[-1]), NOISE)
        return cls(points, centre, moments[kept], axes[:, kept], with_target @ axes[:, kept])

    def coordinates(self, which: np.ndarray) -> np.ndarray:
        """(n, n_axes) float64 of some points."""
        return (self.points.some(which) - self.centre) @ self.axes

    def shrunk(self, strengths: np.ndarray) -> np.ndarray:
        """(n_axes, n_strengths): by what the loadings are multiplied to give the weights along the axes."""
        return 1 / (self.moments[:, None] + 1 / strengths)

    def head(self, strength: float, target: _Target) -> Head:
        """The head on raw features at a strength."""
        weight = target.scale * (self.axes @ (self.loadings * self.shrunk(np.array([strength]))[:, 0]))
        return self.points.to_head(weight[None], np.array([target.mean - weight @ self.centre]))


def _at(
    vectors: Features, rows: np.ndarray, numbers: np.ndarray, n_stages: int, strength: float, stage_scale: float, workers: int
) -> Ridge:
    """The fit at a given strength and scale."""
    target = _Target.of(numbers)
    turned = _Turned.of(_standardised(vectors, rows, n_stages, stage_scale), target.values, workers)
    return Ridge(turned.head(strength, target), strength, (), None, stage_scale)


def _chosen(
    vectors: Features,
    rows: np.ndarray,
    numbers: np.ndarray,
    groups: np.ndarray,
    n_stages: int,
    scales: Sequence[float],
    progress: Progress,
    workers: int,
) -> Ridge:
    """The fit at the best strength and scale; matrix products must take one thread each."""
    scales = scales if n_stages and len(rows) <= MANY else scales[:1]
    if len(np.unique(groups)) < 2:
        return _at(vectors, rows, numbers, n_stages, DEFAULT_STRENGTH, scales[0], workers)
    target, strengths = _Target.of(numbers), np.array(STRENGTHS)
    best: Ridge | None = None
    for number, scale in enumerate(scales, start=1):
        turned = _Turned.of(_standardised(vectors, rows, n_stages, scale), target.values, workers)
        left_out = _left_out(turned, target.values, groups, strengths, workers)
        errors = np.sqrt(np.square(left_out - target.values[:, None]).mean(axis=0)) * target.scale
        place = int(errors.argmin())
        progress(STAGE, number, len(scales))
        if best is not None and errors[place] >= min(error for _, error in best.errors):
            break
        best = Ridge(
            turned.head(STRENGTHS[place], target),
            STRENGTHS[place],
            tuple(zip(STRENGTHS, errors.tolist(), strict=True)),
            left_out[:, place] * target.scale + target.mean,
            scale,
        )
    assert best is not None  # there are scales
    progress(STAGE, len(scales), len(scales))
    return best


def _standardised(vectors: Features, rows: np.ndarray, n_stages: int, stage_scale: float) -> Standardised:
    emphasis = np.ones(vectors.shape[1])
    emphasis[len(emphasis) - n_stages :] = stage_scale
    return standardise(vectors, rows, emphasis, steady=True)


def _left_out(turned: _Turned, target: np.ndarray, groups: np.ndarray, strengths: np.ndarray, workers: int) -> np.ndarray:
    """(n, n_strengths) float64: what fits to all points but those of its group say of each point."""
    shrunk = turned.shrunk(strengths)
    weights = turned.loadings[:, None] * shrunk
    found = np.empty((len(target), len(strengths)))

    def of_groups(members: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        which = np.concatenate(members)
        points = turned.coordinates(which)
        residuals = target[which, None] - points @ weights
        single = np.array([len(one) == 1 for one in members]).repeat([len(one) for one in members])
        alone = points[single]
        residuals[single] /= 1 - 1 / len(target) - np.square(alone) @ shrunk
        place = 0
        for one in members:
            part = slice(place, place := place + len(one))
            if len(one) > 1:
                residuals[part] = _without(points[part], residuals[part], shrunk, len(target))
        return which, target[which, None] - residuals

    for which, numbers in map_in_threads(of_groups, _batches(groups), workers):
        found[which] = numbers
    return found


def _without(points: np.ndarray, residuals: np.ndarray, shrunk: np.ndarray, n: int) -> np.ndarray:
    """(n_group, n_strengths): residuals of one group by fits that it was left out of.

    `points` (n_group, n_axes) are its coordinates, `residuals` (n_group, n_strengths) those of the fits to all `n` points. The
    equations have one unknown for each image; or, with the identity of Woodbury, for each axis, where these are fewer.
    """
    n_group, n_axes = points.shape
    found = np.empty_like(residuals)
    if n_group > n_axes + 1:
        points = np.concatenate([points, np.ones((n_group, 1))], axis=1)
        inner = points.T @ points
    for i in range(residuals.shape[1]):
        if n_group <= n_axes + 1:
            found[:, i] = np.linalg.solve(np.eye(n_group) - 1 / n - (points * shrunk[:, i]) @ points.T, residuals[:, i])
        else:
            curvature = np.diag(np.append(1 / shrunk[:, i], float(n)))
            found[:, i] = residuals[:, i] + points @ np.linalg.solve(curvature - inner, points.T @ residuals[:, i])
    return found


def _batches(groups: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The members of each group; groups together up to AT_ONCE images."""
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    together: list[np.ndarray] = []
    n = 0
    for members in np.split(order, starts[1:]):
        if together and n + len(members) > AT_ONCE:
            yield together
            together, n = [], 0
        together.append(members)
        n += len(members)
    yield together
