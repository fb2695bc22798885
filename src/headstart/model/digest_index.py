"""Where the row of each image is: an index of SHA-256 digests that stays fast and small with millions of them."""

from collections.abc import Sequence

import numpy as np

DIGEST = np.dtype("S32")  # the 32 bytes of a SHA-256; all are equally long, so that numpy's zero padding changes nothing
HEX_DIGITS = 64


class DigestIndex:
    """Digest -> place, in sorted runs, each more than twice as long as the next.

    Building it takes one sort; adding rows merges runs of similar length, which makes n log n in all; looking one up takes a
    binary search in each of the few runs. A digest takes 40 bytes.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # the oldest first: (digests, sorted; their places, int64)

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._runs)

    def add(self, digests: np.ndarray, places: np.ndarray) -> None:
        """Takes in (n,) DIGEST and (n,) int64. Of a digest that is there twice the place that came first is found."""
        if not len(digests):
            return
        order = np.argsort(digests, kind="stable")
        self._runs.append((digests[order], places[order]))
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            newer, older = self._runs.pop(), self._runs.pop()
            merged, where = (np.concatenate(columns) for columns in zip(older, newer, strict=True))
            order = np.argsort(merged, kind="stable")
            self._runs.append((merged[order], where[order]))

    def find(self, digests: np.ndarray) -> np.ndarray:
        """(n,) int64: the place of each of (n,) DIGEST, -1 for one that is not there."""
        found = np.full(len(digests), -1, np.int64)
        for keys, places in reversed(self._runs):  # the oldest has the last word
            at = np.minimum(np.searchsorted(keys, digests), len(keys) - 1)
            found = np.where(keys[at] == digests, places[at], found)
        return found

    def keep(self, wanted: np.ndarray, shift: int) -> None:
        """Drops the places whose upper part, place >> shift, is not among `wanted`."""
        kept = [(keys, places, np.isin(places >> shift, wanted)) for keys, places in self._runs]
        self._runs = [(keys[rows], places[rows]) for keys, places, rows in kept if rows.any()]


def as_digests(hexadecimal: Sequence[str]) -> np.ndarray:
    """(n,) DIGEST of n strings of 64 hexadecimal digits. Raises ValueError where one is anything else."""
    if any(len(digits) != HEX_DIGITS for digits in hexadecimal):
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    raw = bytes.fromhex("".join(hexadecimal))
    if len(raw) != DIGEST.itemsize * len(hexadecimal):  # fromhex skips spaces
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    return np.frombuffer(raw, DIGEST)
