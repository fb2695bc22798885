"""An index from SHA-256 digests to row numbers that stays fast and small with millions of entries."""

from collections.abc import Sequence

import numpy as np

DIGEST = np.dtype("S32")  # the 32 bytes of a SHA-256; numpy's zero padding is harmless because all have the same length
HEX_DIGITS = 64


class DigestIndex:
    """Digest -> place, in sorted runs, each more than twice as long as the next.

    Building it takes one sort. Adding rows merges runs of similar length, O(n log n) in total. A look-up takes a binary search
    in each of the few runs. Each digest takes 40 bytes.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # oldest first: (sorted digests, their places as int64)

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._runs)

    def add(self, digests: np.ndarray, places: np.ndarray) -> None:
        """Adds (n,) DIGEST with (n,) int64 places. For a digest that is added twice, `find` returns the first place."""
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
        """(n,) int64: the place of each of (n,) DIGEST, or -1 if it is not in the index."""
        found = np.full(len(digests), -1, np.int64)
        for keys, places in reversed(self._runs):  # the oldest run takes precedence
            at = np.minimum(np.searchsorted(keys, digests), len(keys) - 1)
            found = np.where(keys[at] == digests, places[at], found)
        return found

    def keep(self, wanted: np.ndarray, shift: int) -> None:
        """Removes the places whose upper part, place >> shift, is not in `wanted`."""
        kept = [(keys, places, np.isin(places >> shift, wanted)) for keys, places in self._runs]
        self._runs = [(keys[rows], places[rows]) for keys, places, rows in kept if rows.any()]


def as_digests(hexadecimal: Sequence[str]) -> np.ndarray:
    """(n,) DIGEST from n strings of 64 hexadecimal digits. Raises ValueError for anything else."""
    if any(len(digits) != HEX_DIGITS for digits in hexadecimal):
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    raw = bytes.fromhex("".join(hexadecimal))
    if len(raw) != DIGEST.itemsize * len(hexadecimal):  # fromhex skips spaces
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    return np.frombuffer(raw, DIGEST)
