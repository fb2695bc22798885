"""How alike pairs of pictures are: from the store, or else found and put there.

Whoever trains again, or adds pictures, compares mostly pairs that have been compared before.
"""

import numpy as np

from headstart.audit.registration import likeness
from headstart.model.kept_miniatures import Miniatures
from headstart.storage import sha256_of_bytes


def kept_likeness(
    miniatures: Miniatures, first: np.ndarray, second: np.ndarray, grey: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """(n_pairs,) float32: the likeness of pairs of pictures, by their numbers; `row` is where each picture is in `grey`.

    Without a shelf all are compared.
    """
    if miniatures.shelf is None:
        return likeness(grey, row[first], row[second])
    digests = [image.sha256 for image in miniatures.images]
    # In the order of their digests, so that it does not matter in which order pictures are given.
    ordered = [sorted((i, j), key=digests.__getitem__) for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    pairs = [sha256_of_bytes(f"{digests[i]} {digests[j]}".encode()) for i, j in ordered]
    found, is_stored = miniatures.shelf.likenesses(pairs)
    new = np.flatnonzero(~is_stored)
    if new.size:
        one, other = np.array(ordered, np.int64)[new].T
        found[new] = likeness(grey, row[one], row[other])
        miniatures.shelf.keep_likenesses([pairs[i] for i in new.tolist()], found[new])
    return found
