"""Measures whether an image resembles those that a model was trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from headstart.data.splits import can_be_held, parted
from headstart.errors import BundleError
from headstart.storage import atomic_write

NEIGHBOURS = 5  # compared with each image: more than a pair of twins, fewer than a small class
FALSE_ALARMS = 0.01  # share of images like the training images that are called unfamiliar
MAX_REFERENCES = 2000  # training images kept for comparison, at least five per class: 5 MB at 1,280 features
AT_ONCE = 1024  # images compared together; this limits memory


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Training images in feature space, and the distance from them above which an image is unfamiliar.

    The distance of an image is one minus the mean cosine similarity to its nearest training images (after Sun et al. 2022,
    deep nearest neighbours). For a model of ants and bees, it separates val images from hand signs, solar cells and monkeys
    with an area under the ROC curve of 1.000, 1.000 and 0.996; Mahalanobis distance reached 0.989, 0.982 and 0.900.
    """

    references: np.ndarray  # (n_references, n_features) float32, rows of length 1; in half precision on disk
    threshold: float  # distance above which an image is unfamiliar

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """(n,) float64 distances in 0 .. 2 of (n, n_features) feature vectors."""
        return _distances(vectors, self.references)

    def of_references(self, vectors: np.ndarray) -> "Familiarity":
        """The same threshold with the training images' features from another network."""
        return Familiarity(_kept_directions(vectors), self.threshold)

    def save(self, file: Path) -> None:
        """Writes it as safetensors."""
        tensors: dict[str, np.ndarray] = {"references": self.references.astype(np.float16)}
        tensors["threshold"] = np.array([self.threshold], np.float64)
        with atomic_write(file) as aside:
            save_file(tensors, aside)

    @classmethod
    def load(cls, file: Path, n_features: int) -> "Familiarity":
        """Reads what `save` wrote. Raises BundleError."""
        try:
            tensors = load_file(file)
            references, threshold = tensors["references"].astype(np.float32), float(tensors["threshold"][0])
        except (OSError, SafetensorError, KeyError, IndexError) as error:
            raise BundleError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
        if references.ndim != 2 or references.shape[1] != n_features or not len(references):
            raise BundleError(f"{file} does not fit the model's {n_features} features", hint="is the copy complete?")
        return cls(references, threshold)


def familiarity_of(
    train: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    unseen: np.ndarray | None = None,
    seed: int = 0,
) -> Familiarity:
    """The familiarity of a model trained on (n, n_features) vectors with (n,) labels and groups.

    The threshold is the distance that 1 % of similar images exceed. It is measured on the `unseen` vectors of images that the
    network was not trained on or, if the features were not trained at all, between training images of different groups.
    """
    kept = _drawn(labels, seed)
    references = _kept_directions(train[kept])
    if unseen is None:  # a class that is all one group has no other images to be like
        groups = parted(labels, groups)
        rows = np.flatnonzero(can_be_held(labels, groups))
        rows = rows if rows.size else np.arange(len(labels))
        distances = _distances(train[rows], references, groups[rows], groups[kept])
    else:
        distances = _distances(unseen, references)
    return Familiarity(references, float(np.quantile(distances, 1 - FALSE_ALARMS)))


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


def _distances(
    vectors: np.ndarray, references: np.ndarray, groups: np.ndarray | None = None, reference_groups: np.ndarray | None = None
) -> np.ndarray:
    """One minus the mean cosine similarity to the nearest references, excluding the image's own group."""
    found = np.empty(len(vectors))
    for begin in range(0, len(vectors), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        cosines = _directions(vectors[part]) @ references.T
        if groups is not None and reference_groups is not None:
            cosines[groups[part, None] == reference_groups[None]] = np.nan
        k = min(NEIGHBOURS, cosines.shape[1])
        nearest = -np.partition(-cosines, k - 1, axis=1)[:, :k]  # NaN sorts last
        known = ~np.isnan(nearest)
        sums = np.where(known, nearest, 0).sum(axis=1, dtype=np.float64)
        found[part] = 1 - sums / np.maximum(known.sum(axis=1), 1)
    return found
