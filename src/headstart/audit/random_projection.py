"""Features in short: standardised and projected along random directions, which nearly keeps angles and distances."""

from dataclasses import dataclass

import numpy as np

from headstart.model.features_on_disk import Features

AT_ONCE = 1_024  # rows that are projected together: limits the memory


@dataclass(frozen=True, slots=True)
class RandomProjection:
    """(n, n_features) of any float type -> (n, n_dimensions) float32 (Johnson and Lindenstrauss 1984)."""

    mean: np.ndarray  # (n_features,) float32
    scale: np.ndarray  # (n_features,) float32: standard deviation, or 1 if a feature is constant
    directions: np.ndarray  # (n_features, n_dimensions) float32

    @classmethod
    def of(cls, sample: np.ndarray, n_dimensions: int, rng: np.random.Generator) -> "RandomProjection":
        """A projection for features like those of the (n_sample, n_features) sample."""
        sample = sample.astype(np.float32)
        mean, scale = sample.mean(axis=0), sample.std(axis=0)
        scale[scale < 1e-6] = 1.0
        return cls(mean, scale, rng.normal(size=(sample.shape[1], n_dimensions)).astype(np.float32))

    def standardised(self, vectors: np.ndarray) -> np.ndarray:
        """(n, n_features) float32, before they are projected."""
        standard: np.ndarray = (vectors.astype(np.float32) - self.mean) / self.scale
        return standard

    def of_rows(self, vectors: Features, rows: np.ndarray) -> np.ndarray:
        """(n_rows, n_dimensions) float32 of some rows of the vectors."""
        found = np.empty((len(rows), self.directions.shape[1]), np.float32)
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            found[part] = self.standardised(vectors[rows[part]]) @ self.directions
        return found


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """(n, n_dimensions) rows scaled to length 1; 0 stays 0."""
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return scaled
