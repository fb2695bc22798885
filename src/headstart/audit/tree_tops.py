"""The tops of random trees: they part many points into buckets, without looking at more than one point at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.audit.points import blocks_of
from headstart.model.features_on_disk import Features

BUCKET = 32_768  # points that a worker has in memory: 34 MB
OF_BUCKET = 256  # points of the sample by which its neighbours are told from it: the halves are then nearly equal
MOST_LEVELS = 16  # so that the number of a bucket fits into 16 bits


@dataclass(frozen=True, slots=True)
class TreeTop:
    """The first halvings of a random tree. Node i is halved into 2 i + 1, up to its threshold, and 2 i + 2."""

    n_levels: int
    directions: np.ndarray  # (2 ** n_levels - 1, n_dims) float32
    thresholds: np.ndarray  # (2 ** n_levels - 1,) float32

    @classmethod
    def of(cls, sample: np.ndarray, n_levels: int, rng: np.random.Generator) -> "TreeTop":
        """A top that halves the (n, n_dims) sample at the medians of directions from one of its points to another."""
        n_nodes = 2**n_levels - 1
        directions, thresholds = np.zeros((n_nodes, sample.shape[1]), np.float32), np.zeros(n_nodes, np.float32)
        parts = [np.arange(len(sample))]
        for node in range(n_nodes):
            part = parts[node]
            if len(part) > 1:
                one, other = rng.choice(part, 2, replace=False)
                directions[node] = sample[one] - sample[other]
                thresholds[node] = np.median(_along(sample[part], directions[node]))
            above = _along(sample[part], directions[node]) > thresholds[node]
            parts += [part[~above], part[above]]
        return cls(n_levels, directions, thresholds)

    def buckets_of(self, points: np.ndarray) -> np.ndarray:
        """(n,) int64: the bucket of each of (n, n_dims) points, 0 .. 2 ** n_levels - 1."""
        node = np.zeros(len(points), np.int64)
        for _ in range(self.n_levels):
            above = _along(points, self.directions[node]) > self.thresholds[node]
            node = 2 * node + 1 + above
        return node - len(self.thresholds)


def bucket_numbers(points: Features, n_trees: int, rng: np.random.Generator) -> np.ndarray:
    """(n_trees, n) uint16: the bucket of each of many points in each of some random trees.

    Time grows as n log n, for the deeper the tops the more points there are.
    """
    n = len(points)
    n_levels = min(MOST_LEVELS, max(0, int(np.ceil(np.log2(n / BUCKET)))))
    sample = points[np.arange(0, n, max(1, n // (OF_BUCKET * 2**n_levels)))]
    tops = [TreeTop.of(sample, n_levels, rng) for _ in range(n_trees)]
    numbers: np.ndarray[Any, Any] = np.empty((n_trees, n), np.uint16)
    for start, block in blocks_of(points):
        for tree, top in enumerate(tops):
            numbers[tree, start : start + len(block)] = top.buckets_of(block)
    return numbers


def _along(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(n,) float32: how far each point lies along its direction; the same bits alone and among others."""
    return np.einsum("ij,ij->i", points, np.broadcast_to(directions, points.shape))
