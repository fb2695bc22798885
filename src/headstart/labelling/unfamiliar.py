"""Which images without a label are unlike all that have one."""

import numpy as np

from headstart.labelling.features_on_disk import Features
from headstart.labelling.live_model import sample_of
from headstart.model.familiarity import familiarity_of

FEWEST = 50  # labelled images below which nearly everything would be unlike them
GROWTH = 1.3  # so many times as many labels as when it was last judged: it is judged anew
AT_ONCE = 2_048  # rows that are judged together
MOST_KNOWN = 10_000  # labelled images that others are compared with: they are held in memory


class FamiliarityWatch:
    """Judges anew when the labels have grown by a third."""

    def __init__(self) -> None:
        self._known = 0

    def judge(
        self, vectors: Features, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, others: np.ndarray
    ) -> np.ndarray | None:
        """(n_others,) float32: the distance of `others` to the labelled `rows`, as a multiple of the one that 1 % of images
        like these exceed; above 1 an image is unfamiliar. None if it need not be judged anew.

        `vectors` (n, n_features) of any float type are of the last layer; (n_rows,) `labels` and `groups` are of the rows.
        """
        if len(rows) < max(FEWEST, GROWTH * self._known) or not others.size:
            return None
        self._known = len(rows)
        some = sample_of(labels, groups, MOST_KNOWN, 0)
        known = familiarity_of(vectors[rows[some]].astype(np.float32, copy=False), labels[some], groups[some])
        parts = [others[start : start + AT_ONCE] for start in range(0, len(others), AT_ONCE)]
        distances = np.concatenate([known.distances(vectors[part].astype(np.float32, copy=False)) for part in parts])
        return (distances / max(known.threshold, 1e-6)).astype(np.float32)
