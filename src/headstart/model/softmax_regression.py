"""Fast softmax (multinomial logistic) regression with an L2 penalty for a path of strengths."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.model.head import Head

TOLERANCE = 1e-4  # relative decrease of the objective at which a fit ends; changes the held-out log loss by less than 0.002
MEMORY = 10  # number of (step, gradient change) pairs that L-BFGS keeps
MAX_STEPS = 300
# Above this number of images, products use single precision and the order that is fastest for tall matrices, and no full copy
# is made. The fits are the same except for rounding.
MANY = 8_000
AT_ONCE = 4096  # rows that are standardised together above MANY images


@dataclass(frozen=True, slots=True)
class Rotated:
    """Standardised features rotated to their principal axes: the same fits at lower cost and better conditioned.

    An L2 penalty is invariant to rotation, and n images span at most n dimensions.
    """

    mean: np.ndarray  # (n_features,) float64
    scale: np.ndarray  # (n_features,) float64: standard deviation, or 1 if a feature is constant
    axes: np.ndarray  # (n_features, rank) float64, orthonormal columns
    points: np.ndarray  # (n, rank) float32

    def to_head(self, solution: "Solution") -> Head:
        """The head on raw features with the same logits as `solution` on the points."""
        raw = (solution.weight @ self.axes.T) / self.scale
        return Head(raw.astype(np.float32), (solution.bias - raw @ self.mean).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Solution:
    """A fit in the coordinates of the points."""

    weight: np.ndarray  # (n_classes, rank) float32
    bias: np.ndarray  # (n_classes,) float32

    def logits(self, points: np.ndarray) -> np.ndarray:
        """(n, rank) -> (n, n_classes)."""
        return points @ self.weight.T + self.bias


def rotate(vectors: np.ndarray, rows: np.ndarray | None = None) -> Rotated:
    """Standardises (n, n_features) vectors, or only `rows` of them, and rotates them to their principal axes.

    No information is lost.
    """
    n, n_features = len(vectors) if rows is None else len(rows), vectors.shape[1]
    if n > max(MANY, n_features):
        return _rotate_many(vectors, np.arange(n) if rows is None else rows)
    vectors = vectors if rows is None else vectors[rows]
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = vectors.std(axis=0, dtype=np.float64)
    scale[scale < 1e-8] = 1.0
    standard = (vectors - mean) / scale
    if n >= n_features:
        axes = np.linalg.eigh(standard.T @ standard)[1]
        return Rotated(mean, scale, axes, (standard @ axes).astype(np.float32))
    eigenvalues, left = np.linalg.eigh(standard @ standard.T)
    kept = eigenvalues > max(eigenvalues[-1], 1e-12) * 1e-10
    singular = np.sqrt(eigenvalues[kept])
    return Rotated(mean, scale, standard.T @ (left[:, kept] / singular), (left[:, kept] * singular).astype(np.float32))


def _rotate_many(vectors: np.ndarray, rows: np.ndarray) -> Rotated:
    """The same in parts: besides the points, only a few thousand rows are in memory. Axes may be only roughly principal."""
    n, n_features = len(rows), vectors.shape[1]
    parts = [slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE)]
    mean, variance, products = np.zeros(n_features), np.zeros(n_features), np.zeros((n_features, n_features))
    for part in parts:
        mean += vectors[rows[part]].sum(axis=0, dtype=np.float64) / n
    for part in parts:
        variance += ((vectors[rows[part]] - mean) ** 2).sum(axis=0) / n
    scale = np.sqrt(variance)
    scale[scale < 1e-8] = 1.0

    def standard(part: slice) -> np.ndarray:
        return (vectors[rows[part]] - mean.astype(np.float32)) * (1 / scale).astype(np.float32)

    for part in parts:
        points = standard(part)
        products += points.T @ points
    axes = np.linalg.eigh(products)[1]
    points = np.empty((n, n_features), np.float32)
    for part in parts:
        points[part] = standard(part) @ axes.astype(np.float32)
    return Rotated(mean, scale, axes, points)


def fit_path(points: np.ndarray, labels: np.ndarray, n_classes: int, strengths: Sequence[float]) -> Iterator[Solution]:
    """Yields a fit for each of the increasing `strengths` (like scikit-learn's C), each started from the previous one.

    Minimises strength * (sum of cross-entropies) + |weight|^2 / 2; the bias is not penalised. Points are (n, rank) float32 in
    principal axes, where the curvature at uniform probabilities is diagonal. Dividing by its square root makes a few steps of
    L-BFGS sufficient; raw features need hundreds.
    """
    n, rank = points.shape
    targets = np.zeros((n, n_classes), np.float32)
    targets[np.arange(n), labels] = 1
    parts = range(0, n, n if n <= MANY else AT_ONCE)
    energy = np.append(sum((points[at : at + parts.step] ** 2).sum(axis=0, dtype=np.float64) for at in parts), n)
    spread = 1 / n_classes  # of diag(p) - p p^T at uniform p; its diagonal would make steps for two classes too long
    parameters = np.zeros((n_classes, rank + 1), np.float32)  # the last column is the bias
    for strength in strengths:
        penalty = np.append(np.ones(rank), 0.0)
        stretch = (1 / np.sqrt(strength * spread * energy + penalty)).astype(np.float32)
        objective = _objective(points, targets, strength, stretch)
        parameters = minimise(objective, parameters / stretch) * stretch
        yield Solution(parameters[:, :-1], parameters[:, -1])


def _objective(
    points: np.ndarray, targets: np.ndarray, strength: float, stretch: np.ndarray
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    def objective(stretched: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = stretched * stretch
        weight = parameters[:, :-1]
        logits = points @ weight.T + parameters[:, -1]
        logits -= logits.max(axis=1, keepdims=True)
        loss = -np.einsum("nc,nc->", logits, targets, dtype=np.float64)
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1, keepdims=True)
        loss += np.log(sums).sum(dtype=np.float64)
        residual = (logits / sums - targets) * np.float32(strength)
        gradient = np.empty_like(parameters)
        gradient[:, :-1] = (residual.T @ points if len(points) <= MANY else (points.T @ residual).T) + weight
        gradient[:, -1] = residual.sum(axis=0)
        return strength * loss + 0.5 * float(np.vdot(weight, weight)), gradient * stretch

    return objective


def minimise(objective: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> np.ndarray:
    """The minimum of a smooth convex function by L-BFGS (Nocedal 1980) with backtracking.

    `objective` returns value and gradient. scipy has the same method, but its BLAS threads compete with numpy's, which takes
    ten times as long for these small steps.
    """
    place = start
    value, gradient = objective(place)
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=MEMORY)
    for _ in range(MAX_STEPS):
        direction = _two_loops(gradient, pairs)
        slope = float(np.vdot(direction, gradient))
        if slope >= 0:  # rounding has destroyed the curvature: fall back to the gradient
            pairs.clear()
            direction, slope = -gradient, -float(np.vdot(gradient, gradient))
        length = 1.0
        while True:
            next_place = place + np.float32(length) * direction
            next_value, next_gradient = objective(next_place)
            if next_value <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        step, change = next_place - place, next_gradient - gradient
        curvature = float(np.vdot(step, change))
        if curvature > 1e-10 * float(np.vdot(change, change)):
            pairs.append((step, change, curvature))
        decrease = value - next_value
        if next_value <= value:
            place, value, gradient = next_place, next_value, next_gradient
        if decrease <= TOLERANCE * max(abs(value), 1e-12):
            return place
    return place


def _two_loops(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """The quasi-Newton direction: minus the inverse curvature estimated from the pairs, times the gradient."""
    direction = -gradient
    factors = []
    for step, change, curvature in reversed(pairs):
        factor = float(np.vdot(step, direction)) / curvature
        direction = direction - np.float32(factor) * change
        factors.append(factor)
    if pairs:
        _, change, curvature = pairs[-1]
        direction = direction * np.float32(curvature / float(np.vdot(change, change)))
    for (step, change, curvature), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + np.float32(factor - float(np.vdot(change, direction)) / curvature) * step
    return direction
