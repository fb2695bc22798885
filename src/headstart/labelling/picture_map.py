"""The map of the pictures: two dimensions of their features, in which like pictures lie near each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.errors import HeadstartError
from headstart.labelling.nearest import nearest
from headstart.labelling.neighbour_embedding import embed_neighbours
from headstart.model.features_on_disk import Features
from headstart.progress import Progress, silent
from headstart.threads import one_blas_thread

FORM = 1  # raised with every change here that changes a map
DIMENSIONS = 50  # principal components in which neighbours are looked for
FITTED_IMAGES = 8_000  # at most, to which the principal components are fitted
EMBEDDED_IMAGES = 20_000  # at most; more are placed between these
NEIGHBOURS = 15  # of an image, which the map keeps near to it
PLACED_BETWEEN = 10  # images, of which a new one takes the weighted mean place
AGREEMENT = 0.03  # of the map's side: neighbours that lie further from the others count little
OVERSAMPLES, POWER_STEPS = 10, 3  # of the randomised decomposition (Halko et al. 2011)
ROWS = 2048  # that are projected at once: shapes that depend on nothing else give the same numbers everywhere


@dataclass(frozen=True, slots=True)
class Projection:
    """Features -> principal components."""

    mean: np.ndarray  # (n_features,) float32
    components: np.ndarray  # (n_features, n_dims) float32

    def of(self, vectors: Features) -> np.ndarray:
        """(n, n_dims) float32 from (n, n_features)."""
        with one_blas_thread():
            parts = [(vectors[i : i + ROWS] - self.mean) @ self.components for i in range(0, len(vectors), ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self.components.shape[1]), np.float32)


@dataclass(frozen=True, slots=True)
class PictureMap:
    """Where pictures lie."""

    places: np.ndarray  # (n, 2) float32 in [0, 1], the longer side of the map from 0 to 1
    coordinates: np.ndarray  # (n, n_dims) float32: their principal components
    projection: Projection

    def place(self, vectors: Features) -> np.ndarray:
        """(m, 2) float32: places of pictures with (m, n_features) vectors: weighted means of the places of their nearest."""
        return _between(self.projection.of(vectors), self.coordinates, self.places)

    def with_new(self, vectors: Features) -> "PictureMap":
        """The map with new pictures after the old ones, none of which has moved."""
        coordinates = self.projection.of(vectors)
        places = _between(coordinates, self.coordinates, self.places)
        return PictureMap(np.vstack([self.places, places]), np.vstack([self.coordinates, coordinates]), self.projection)


def make_map(vectors: Features, *, seed: int = 0, progress: Progress = silent) -> PictureMap:
    """The map of (n, n_features) float32 vectors; the same with the same seed, on any number of cores.

    Above EMBEDDED_IMAGES a random sample is embedded, and the others are placed between its pictures.
    """
    if not len(vectors):
        raise HeadstartError("a map needs at least one picture", hint="wait until images are read")
    rng = np.random.default_rng(seed)
    projection = fit_projection(vectors[_some(len(vectors), FITTED_IMAGES, rng)], rng)
    coordinates = projection.of(vectors)
    chosen = _some(len(vectors), EMBEDDED_IMAGES, rng)
    points = coordinates[chosen]
    places = np.empty((len(vectors), 2), np.float32)
    places[chosen] = _in_unit_square(_embedded(points, rng, lambda done, total: progress("map", done, total)))
    others = np.setdiff1d(np.arange(len(vectors)), chosen)
    places[others] = _between(coordinates[others], points, places[chosen])
    return PictureMap(places, coordinates, projection)


def fit_projection(vectors: np.ndarray, rng: np.random.Generator) -> Projection:
    """The first principal components of (n, n_features) vectors, by a randomised decomposition."""
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = vectors - mean
    n_dims = min(DIMENSIONS, *vectors.shape)
    n_tried = min(n_dims + OVERSAMPLES, *vectors.shape)
    with one_blas_thread():
        span = centred @ rng.standard_normal((vectors.shape[1], n_tried), dtype=np.float32)
        for _ in range(POWER_STEPS):
            span = np.linalg.qr(span)[0]
            span = centred @ np.linalg.qr(centred.T @ span)[0]
        span = np.linalg.qr(span)[0]
        components = np.linalg.svd(span.T @ centred, full_matrices=False)[2][:n_dims].T
    # A component's sign is arbitrary: its largest number is positive here.
    largest = components[np.abs(components).argmax(axis=0), np.arange(n_dims)]
    return Projection(mean, np.ascontiguousarray(components * np.where(largest < 0, -1, 1)).astype(np.float32))


def _embedded(points: np.ndarray, rng: np.random.Generator, on_step: Callable[[int, int], None]) -> np.ndarray:
    """(n, 2) places of any scale, from (n, n_dims) points."""
    start = np.zeros((len(points), 2), np.float32)
    start[:, : min(2, points.shape[1])] = points[:, :2]
    # What is the same in all features begins a little apart.
    scale = float(start.std()) or 1.0
    start += rng.normal(0, 1e-3 * scale, start.shape).astype(np.float32)
    if len(points) <= 3:
        return start
    neighbours, _ = nearest(points, points, min(NEIGHBOURS, len(points) - 1), is_among=True)
    return embed_neighbours(neighbours, start, on_step)


def _between(new: np.ndarray, points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(m, 2): for each of (m, n_dims) new points the weighted mean place of its nearest.

    A neighbour counts by its nearness, and if it lies where most of the others lie. A mean of two groups would lie in neither:
    with 30 % of the sign digits placed so, their trustworthiness is 0.92; it is 0.87 with weights of nearness alone.
    """
    found, squares = nearest(new, points, min(PLACED_BETWEEN, len(points)))
    by_nearness = 1 / (squares + 1e-4 * squares.mean(axis=1, keepdims=True) + np.float32(1e-12))
    by_nearness /= by_nearness.sum(axis=1, keepdims=True)
    parts = [
        _mean_where_most_are(places[found[rows]], by_nearness[rows])
        for rows in (slice(i, i + ROWS) for i in range(0, len(new), ROWS))
    ]
    return np.concatenate(parts) if parts else np.empty((0, 2), np.float32)


def _mean_where_most_are(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(m, 2) from (m, k, 2) places and (m, k) weights: the mean around the place that has most weight near it."""
    agreement = 1 / (1 + ((places[:, :, None] - places[:, None]) ** 2).sum(axis=-1) / AGREEMENT**2) ** 2
    centre = np.einsum("ijk,ik->ij", agreement, weights).argmax(axis=1)
    weights = weights * agreement[np.arange(len(places)), centre]
    return np.einsum("ij,ijk->ik", weights / weights.sum(axis=1, keepdims=True), places).astype(np.float32)


def _some(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many of 0 .. n - 1, in order."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _in_unit_square(places: np.ndarray) -> np.ndarray:
    low = places.min(axis=0)
    extent = places.max(axis=0) - low
    span = float(extent.max()) or 1.0
    return (((places - low) + (span - extent) / 2) / span).clip(0, 1).astype(np.float32)
