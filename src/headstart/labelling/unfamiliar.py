"""Which images without a label are unlike all that have one."""

from threading import Lock

import numpy as np

from headstart.labelling.live_model import sample_of
from headstart.model.familiarity import Familiarity, familiarity_of
from headstart.model.features_on_disk import Features

FEWEST = 50  # labelled images below which nearly everything would be unlike them
GROWTH = 1.3  # so many times as many labels as when it was last judged: it is judged anew
MOST_COMPARED = 5_000  # labelled images, which are held in memory: a threshold from so many is as good as one from all
AT_ONCE = 2_048  # rows that are judged together


class FamiliarityWatch:
    """Judges anew when the labels have grown by a third. May be used from threads."""

    def __init__(self) -> None:
        self._known: Familiarity | None = None
        self._n_known = 0  # labelled images that `_known` was made from
        self._n_judged = 0  # and that there were when others were judged
        self._lock = Lock()

    def judge(
        self, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, others: np.ndarray
    ) -> np.ndarray | None:
        """(n_others,) float32: the distance of `others` to the labelled `rows`, as a multiple of the one that 1 % of images
        like these exceed; above 1 an image is unfamiliar. None if it need not be judged anew.

        `vectors` (n, n_features) of any float type are of the last layer; (n_rows,) `labels` and `groups` are of the rows.
        """
        if len(rows) < GROWTH * self._n_judged or not others.size:
            return None
        known = self._familiarity(vectors, rows, labels, groups)
        if known is None:
            return None
        self._n_judged = len(rows)
        parts = [others[start : start + AT_ONCE] for start in range(0, len(others), AT_ONCE)]
        return np.concatenate([_multiples(known, vectors[part]) for part in parts])

    def judge_image(
        self, image: np.ndarray, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray
    ) -> float | None:
        """The same number for the (n_features,) features of an image that is not of the project; None: too few labels."""
        known = self._familiarity(vectors, rows, labels, groups)
        return None if known is None else float(_multiples(known, image[None])[0])

    def _familiarity(self, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Familiarity | None:
        """That of the labelled rows, or of those before a few were added; None if there are too few."""
        if len(rows) < FEWEST:
            return None
        with self._lock:
            if len(rows) >= GROWTH * self._n_known:
                some = sample_of(labels, groups, MOST_COMPARED, 0)
                self._known = familiarity_of(vectors[rows[some]].astype(np.float32, copy=False), labels[some], groups[some])
                self._n_known = len(rows)
            return self._known


def _multiples(known: Familiarity, vectors: np.ndarray) -> np.ndarray:
    """(n,) float32 distances as multiples of the threshold."""
    return (known.distances(vectors.astype(np.float32)) / max(known.threshold, 1e-6)).astype(np.float32)
