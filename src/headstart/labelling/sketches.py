"""Which pictures are alike: the nearest rows by features, fast enough to be asked after each key."""

from dataclasses import dataclass

import numpy as np

from headstart.audit.random_projection import RandomProjection, of_length_one
from headstart.model.features_on_disk import Features

DIMENSIONS = 128  # of the sketch that rows are first compared by
SAMPLE = 2_000  # rows that the mean and spread of features are measured on
CLOSER_LOOK = 8  # times as many rows as asked for are compared with all their features


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of feature vectors: projected at random, of length 1."""

    sketches: np.ndarray  # (n, DIMENSIONS) float32; 0 for rows without features
    projection: RandomProjection

    @classmethod
    def of(cls, vectors: Features, known: np.ndarray, seed: int = 0) -> "Sketches":
        """Sketches of (n, n_features) vectors of any float type; (n,) bool says which rows have one."""
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero(known)
        projection = RandomProjection.of(vectors[np.sort(rng.permutation(rows)[:SAMPLE])], DIMENSIONS, rng)
        sketches = np.zeros((len(vectors), DIMENSIONS), np.float32)
        sketches[rows] = of_length_one(projection.of_rows(vectors, rows))
        return cls(sketches, projection)

    def to(self, vector: np.ndarray) -> np.ndarray:
        """(n,) float32: about the cosine of each row to one (n_features,) vector."""
        sketch = of_length_one(self.projection.of_rows(vector[None], np.zeros(1, np.int64)))
        cosines: np.ndarray = self.sketches @ sketch[0]
        return cosines

    def nearest(self, vectors: Features, vector: np.ndarray, n: int, among: np.ndarray) -> list[tuple[int, float]]:
        """(row, cosine of the standardised features) of the up to `n` nearest rows to a vector, of the rows `among`."""
        if not among.size:
            return []
        about = self.to(vector)[among]
        most = min(CLOSER_LOOK * n, len(among))
        rows = among[np.argpartition(-about, most - 1)[:most]]
        standard = of_length_one(self.projection.standardised(np.concatenate([vector[None], vectors[rows]])))
        cosines = standard[1:] @ standard[0]
        best = np.argsort(-cosines, kind="stable")[:n]
        return [(int(rows[i]), float(cosines[i])) for i in best]
