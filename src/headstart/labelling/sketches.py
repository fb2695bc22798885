"""Which pictures are alike: the nearest rows by features, fast enough to be asked after each key."""

from dataclasses import dataclass

import numpy as np

DIMENSIONS = 128  # of the sketch that rows are first compared by
SAMPLE = 2_000  # rows that the mean and spread of features are measured on
AT_ONCE = 1_024  # rows worked on together
CLOSER_LOOK = 8  # times as many rows as asked for are compared with all their features


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of feature vectors: standardised, projected at random (Johnson and Lindenstrauss 1984), of length 1."""

    sketches: np.ndarray  # (n, DIMENSIONS) float32; 0 for rows without features
    mean: np.ndarray  # (n_features,) float32
    scale: np.ndarray  # (n_features,) float32
    directions: np.ndarray  # (n_features, DIMENSIONS) float32

    @classmethod
    def of(cls, vectors: np.ndarray, known: np.ndarray, seed: int = 0) -> "Sketches":
        """Sketches of (n, n_features) vectors of any float type; (n,) bool says which rows have one."""
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero(known)
        sample = vectors[np.sort(rng.permutation(rows)[:SAMPLE])].astype(np.float32)
        mean, scale = sample.mean(axis=0), sample.std(axis=0)
        scale[scale < 1e-6] = 1.0
        directions = rng.normal(size=(vectors.shape[1], DIMENSIONS)).astype(np.float32)
        likeness = cls(np.zeros((len(vectors), DIMENSIONS), np.float32), mean, scale, directions)
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            likeness.sketches[part] = likeness.sketch(vectors[part])
        return likeness

    def sketch(self, vectors: np.ndarray) -> np.ndarray:
        """(n, n_features) -> (n, DIMENSIONS) float32."""
        found = ((vectors.astype(np.float32) - self.mean) / self.scale) @ self.directions
        length = np.linalg.norm(found, axis=1, keepdims=True)
        sketches: np.ndarray = found / np.maximum(length, 1e-6)
        return sketches

    def to(self, vector: np.ndarray) -> np.ndarray:
        """(n,) float32: about the cosine of each row to one (n_features,) vector."""
        cosines: np.ndarray = self.sketches @ self.sketch(vector[None])[0]
        return cosines

    def nearest(self, vectors: np.ndarray, vector: np.ndarray, n: int, among: np.ndarray) -> list[tuple[int, float]]:
        """(row, cosine of the standardised features) of the up to `n` nearest rows to a vector, of the rows `among`."""
        if not among.size:
            return []
        about = self.to(vector)[among]
        most = min(CLOSER_LOOK * n, len(among))
        rows = among[np.argpartition(-about, most - 1)[:most]]
        standard = (np.concatenate([vector[None], vectors[rows]]).astype(np.float32) - self.mean) / self.scale
        standard /= np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-6)
        cosines = standard[1:] @ standard[0]
        best = np.argsort(-cosines, kind="stable")[:n]
        return [(int(rows[i]), float(cosines[i])) for i in best]
