"""Pairs of pictures whose hashes and features both say that they are the same picture."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from headstart.audit.neighbours import leaves
from headstart.threads import map_in_threads

TREES = 16  # a pair of twins that one tree separates shares a leaf in another
# Twins differ in few bits of their hashes; the more bits differ, the more similar their features must be. Hashes alone pair
# plain backgrounds; features alone pair two shots of one scene. If everything looks similar, as with solar cells, twins are
# images closer to each other than to the crowd around them, by this ratio of distances. Of 55 known twins among the monkeys'
# val images these limits find all, and two more real ones; among 2,062 hand signs, where nothing occurs twice, they find none.
MOST_BITS = 14
LEAST_SIMILARITY, SIMILARITY_PER_BIT = 0.7, 0.0125
CROWD, CROWD_RATIO = 10, 0.5  # the tenth nearest image represents the crowd
CERTAIN_SIMILARITY = 0.96  # from here on the crowd does not matter: it may be more copies of the picture


@dataclass(frozen=True, slots=True)
class LikelyPairs:
    """Pairs of n pictures that may be twins, and how crowded it is around each picture, as far as the leaves show it."""

    first: np.ndarray  # (n_pairs,) int64
    second: np.ndarray  # (n_pairs,) int64
    similarity: np.ndarray  # (n_pairs,) float32: cosine
    crowd: np.ndarray  # (n,) float32: similarity to the tenth nearest, -1 where no leaf has as many

    @classmethod
    def of_one_tree(cls, hashes: np.ndarray, standard: np.ndarray, rng: np.random.Generator) -> "LikelyPairs":
        """Those within the leaves of a random tree, of (n,) uint64 hashes and (n, n_features) standardised features."""
        return cls.within(leaves(standard, rng), hashes, standard)

    @classmethod
    def within(cls, of_tree: Iterable[np.ndarray], hashes: np.ndarray, standard: np.ndarray) -> "LikelyPairs":
        """Those within the leaves of a tree."""
        crowd = np.full(len(hashes), -1.0, np.float32)
        parts = [_compared(leaf, hashes, standard, crowd) for leaf in of_tree]
        first, second, similarity = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return cls(first, second, similarity, crowd)

    def apart(self) -> "LikelyPairs":
        """Without the pairs that are no closer to each other than to the crowd; what more leaves show brings none back."""
        apart = 1 - self.similarity <= CROWD_RATIO * (1 - np.maximum(self.crowd[self.first], self.crowd[self.second]))
        alike = apart | (self.similarity >= CERTAIN_SIMILARITY)
        return LikelyPairs(self.first[alike], self.second[alike], self.similarity[alike], self.crowd)


def twin_pairs(hashes: np.ndarray, standard: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64 of twins, found by (n,) uint64 difference hashes and (n, n_features) standardised features.

    Every pair within the leaves of random trees is compared, in threads while the next tree is made.
    """
    rng = np.random.default_rng(seed)
    trees = (list(leaves(standard, rng)) for _ in range(TREES))
    return twins_of(list(map_in_threads(lambda tree: LikelyPairs.within(tree, hashes, standard), trees)))


def twins_of(found: list[LikelyPairs]) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64 of the twins among what some trees have found of the same pictures."""
    crowd = np.maximum.reduce([one.crowd for one in found])
    first, second, similarity = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("first", "second", "similarity")
    )
    _, once = np.unique(first * len(crowd) + second, return_index=True)
    twins = LikelyPairs(first[once], second[once], similarity[once], crowd).apart()
    return twins.first, twins.second


def _compared(leaf: np.ndarray, hashes: np.ndarray, standard: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, ...]:
    """(first, second, similarity) of the pairs within a leaf that may be twins; raises `crowd` where it shows more."""
    points = standard[leaf]
    similarity = points @ points.T
    if len(leaf) > CROWD:
        crowd[leaf] = np.maximum(crowd[leaf], np.partition(similarity, -CROWD - 1, axis=1)[:, -CROWD - 1])  # 1: itself
    bits = np.bitwise_count(hashes[leaf][:, None] ^ hashes[leaf][None, :]).astype(np.int64)
    alike = (bits <= MOST_BITS) & (similarity >= LEAST_SIMILARITY + SIMILARITY_PER_BIT * bits)
    one, other = np.nonzero(np.triu(alike, k=1))
    return leaf[one], leaf[other], similarity[one, other]
