"""Measures whether an image resembles those that a model was trained on."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.data.splits import can_be_held, parted
from headstart.errors import BundleError
from headstart.model.features_on_disk import Features, first_columns, some_rows
from headstart.storage import atomic_write

NEIGHBOURS = 5  # compared with each image: more than a pair of twins, fewer than a small class
FALSE_ALARMS = 0.01  # share of images like the training images that are called unfamiliar
MAX_REFERENCES = 2000  # training images kept for comparison, at least five per class: 5 MB at 1,280 features
MAX_COMPARED = 50_000  # training images that the threshold is estimated from: 500 of them are beyond it
AT_ONCE = 1024  # images compared together; this limits memory
TAIL, MIN_TAIL = 0.2, 10  # share and least number of the largest distances from which the threshold is estimated
DISTANCES_OF_PRIOR = 50  # as many distances of the average class are added to a class's own, so that a few do not decide
MAX_SPREAD = 2.0  # a class counts as at most twice as wide as the average, and at least half as wide
FARTHEST = 2.0  # the largest distance: one minus a cosine of -1


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Training images in feature space, and the distance from them above which an image is unfamiliar.

    The distance of an image is one minus the mean cosine similarity to its nearest training images (after Sun et al. 2022,
    deep nearest neighbours), in the features of the last layer. In a class whose images differ much among themselves it counts
    less, in a narrow class more. benchmarks/familiarity.py compares this with other features and with Mahalanobis distance;
    the tables are in docs/trust.md.
    """

    references: np.ndarray  # (n_references, n_compared) float32, rows of length 1; in half precision on disk
    scales: np.ndarray  # (n_references,) float32: what a distance to each is multiplied by; 1 in files of before
    threshold: float  # distance above which an image is unfamiliar
    n_features: int  # of a vector; the first n_compared of them are compared

    def distances(self, vectors: Features) -> np.ndarray:
        """(n,) float64 distances in 0 .. 2 of (n, n_features) feature vectors."""
        return _compared(first_columns(vectors, self.references.shape[1]), self.references, self.scales)[0]

    def of_references(self, vectors: np.ndarray) -> "Familiarity":
        """The same threshold with the same training images' features from another network."""
        return replace(self, references=_kept_directions(vectors[:, : self.references.shape[1]]))

    def save(self, file: Path) -> None:
        """Writes it as safetensors."""
        tensors: dict[str, np.ndarray] = {"references": self.references.astype(np.float16), "scales": self.scales}
        tensors["threshold"] = np.array([self.threshold], np.float64)
        tensors["n_features"] = np.array([self.n_features], np.int64)
        with atomic_write(file) as aside:
            save_file(tensors, aside)

    @classmethod
    def load(cls, file: Path, n_features: int) -> "Familiarity":
        """Reads what `save` wrote, or a version without scales, which compared all features. Raises BundleError."""
        try:
            tensors = load_file(file)
            references, threshold = tensors["references"].astype(np.float32), float(tensors["threshold"][0])
            scales = tensors["scales"].astype(np.float32) if "scales" in tensors else np.ones(len(references), np.float32)
            n_known = int(tensors["n_features"][0]) if "n_features" in tensors else references.shape[-1]
        except (OSError, SafetensorError, KeyError, IndexError) as error:
            raise BundleError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
        fits = references.ndim == 2 and len(references) and 0 < references.shape[1] <= n_known == n_features
        if not fits or scales.shape != (len(references),):
            raise BundleError(f"{file} does not fit the model's {n_features} features", hint="is the copy complete?")
        return cls(references, scales, threshold, n_features)


def familiarity_of(
    train: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    unseen: np.ndarray | None = None,
    seed: int = 0,
    n_last: int | None = None,
) -> Familiarity:
    """The familiarity of a model trained on (n, n_features) vectors with (n,) labels and groups.

    The first `n_last` features are compared, those of the network's last layer; None: all. The threshold is the distance that
    1 % of similar images exceed. It is estimated from the `unseen` vectors of images that the network was not trained on or, if
    the features were not trained at all, from training images, each compared with those of other groups.
    """
    n_features = train.shape[1]
    train = train if n_last is None else first_columns(train, n_last)
    kept = _drawn(labels, seed)
    references = _kept_directions(train[kept])
    compared: Features
    apart: tuple[np.ndarray, np.ndarray] | None
    if unseen is None:  # a class that is all one group has no other images to be like
        groups = parted(labels, groups)
        rows = np.flatnonzero(can_be_held(labels, groups))
        rows = rows if rows.size else np.arange(len(labels))
        rows = rows[:: math.ceil(len(rows) / MAX_COMPARED)]
        compared, apart = some_rows(train, rows), (groups[rows], groups[kept])
    else:
        compared, apart = first_columns(unseen, train.shape[1]), None
    even = np.ones(len(kept), np.float32)
    distances, nearest = _compared(compared, references, even, apart)
    scales = _scales(distances, nearest, labels[kept])
    distances = _compared(compared, references, scales, apart)[0]
    return Familiarity(references, scales, exceeded_by(distances, FALSE_ALARMS), n_features)


def exceeded_by(distances: np.ndarray, share: float) -> float:
    """The distance that `share` of new images like those of the (n,) `distances` exceed, at most 2.

    A generalised Pareto distribution is fitted to the largest fifth of the distances by probability-weighted moments (Hosking
    and Wallis 1987). It varies less from sample to sample than a quantile, which rests on the two or three largest of a few
    hundred. Of a sample too small for this it is the largest.
    """
    ordered = np.sort(distances)
    n = len(ordered)
    n_tail = min(max(int(TAIL * n), MIN_TAIL), n - 1)
    beyond = ordered[n - n_tail :] - ordered[n - n_tail - 1]
    mean = float(beyond.mean()) if n_tail else 0.0
    if n_tail < MIN_TAIL or mean < 1e-9:
        return min(float(ordered[-1]), FARTHEST)
    weights = 1 - (np.arange(1, n_tail + 1) - 0.35) / n_tail
    moment = float((weights * beyond).mean())
    shape = min(2 - mean / (mean - 2 * moment), 0.5)  # above 0: heavy tail, below: ends at a point
    scale = mean * (1 - shape)
    chance = share * n / n_tail  # of being beyond, given that an image is in the tail
    excess = -scale * np.log(chance) if abs(shape) < 1e-6 else scale / shape * (chance**-shape - 1)
    return min(float(ordered[n - n_tail - 1] + excess), FARTHEST)


def _drawn(labels: np.ndarray, seed: int) -> np.ndarray:
    """Sorted rows of about MAX_REFERENCES images: each class's share, but at least NEIGHBOURS if it has that many."""
    if len(labels) <= MAX_REFERENCES:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    share = MAX_REFERENCES / len(labels)
    drawn = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn.append(rng.permutation(members)[: max(NEIGHBOURS, int(share * len(members)))])
    return np.sort(np.concatenate(drawn))


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def _kept_directions(vectors: np.ndarray) -> np.ndarray:
    return _directions(vectors).astype(np.float16).astype(np.float32)  # as they will be read from disk


def _scales(distances: np.ndarray, nearest: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n_references,) float32: the mean distance of all images over the mean of those nearest to the reference's class."""
    mean = float(distances.mean())
    if mean < 1e-9:
        return np.ones(len(labels), np.float32)
    classes, of_reference = np.unique(labels, return_inverse=True)
    of_image = of_reference[nearest]
    sums = np.bincount(of_image, distances, len(classes)) + DISTANCES_OF_PRIOR * mean
    spreads = sums / (np.bincount(of_image, minlength=len(classes)) + DISTANCES_OF_PRIOR) / mean
    return (1 / np.clip(spreads, 1 / MAX_SPREAD, MAX_SPREAD)).astype(np.float32)[of_reference]


def _compared(
    vectors: Features, references: np.ndarray, scales: np.ndarray, apart: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) mean scaled distances to the nearest references, at most 2, and (n,) the nearest of all.

    `apart`: the groups of the vectors and of the references; an image is not compared with its own group.
    """
    found, first = np.empty(len(vectors)), np.empty(len(vectors), np.int64)
    for begin in range(0, len(vectors), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        likeness = (_directions(vectors[part]) @ references.T) * scales + (1 - scales)  # one minus the scaled distance
        if apart is not None:
            likeness[apart[0][part, None] == apart[1][None]] = -np.inf
        k = min(NEIGHBOURS, likeness.shape[1])
        nearest = -np.partition(-likeness, k - 1, axis=1)[:, :k]
        known = np.isfinite(nearest)
        sums = np.where(known, nearest, 0).sum(axis=1, dtype=np.float64)
        # Directions are kept in float16: those of almost equal features have cosines a little above 1.
        found[part] = np.clip(1 - sums / np.maximum(known.sum(axis=1), 1), 0, FARTHEST)
        first[part] = likeness.argmax(axis=1)
    return found, first
