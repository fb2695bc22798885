"""Buckets: points of one random tree that are compared with each other where they are read, apart from all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from headstart.audit.neighbours import nearest_by_one_tree
from headstart.audit.tree_tops import BUCKET
from headstart.audit.twin_pairs import LikelyPairs
from headstart.jobs.shards import Identity

MOST = 2 * BUCKET  # points: more of them, such as equal ones, are dealt into several buckets


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is in its search, and how its own random numbers begin."""

    search: str  # what is looked for, as a digest
    seed: int
    tree: int
    number: int

    @property
    def identity(self) -> Identity:
        """What tells it from the others of all searches."""
        return (self.search, self.seed, self.tree, self.number)

    def rng(self) -> np.random.Generator:
        """The same for whoever computes the bucket."""
        return np.random.default_rng([self.seed, self.tree, self.number])


@dataclass(frozen=True, slots=True)
class TwinBucket:
    """One in which twins are looked for."""

    n_columns: int  # the first ones of a point, which are its features
    hashes: np.ndarray  # (n,) uint64
    rows: np.ndarray  # (n,) int64, ascending
    place: Place
    COLUMNS: ClassVar = ("first", "second", "similarity", "crowd")

    @property
    def identity(self) -> Identity:
        """What tells it from other buckets."""
        return self.place.identity

    def found(self, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """COLUMNS, by the points of its rows."""
        standard = np.ascontiguousarray(points[:, : self.n_columns])
        likely = LikelyPairs.of_one_tree(self.hashes, standard, self.place.rng()).apart()
        return self.rows[likely.first], self.rows[likely.second], likely.similarity, likely.crowd


@dataclass(frozen=True, slots=True)
class NearBucket:
    """One in which the `k` nearest of each point are looked for."""

    k: int
    apart: np.ndarray | None  # (n,) int64: points with the same number are not each other's neighbours
    rows: np.ndarray  # (n,) int64, ascending
    place: Place
    COLUMNS: ClassVar = ("found", "distance")

    @property
    def identity(self) -> Identity:
        """What tells it from other buckets."""
        return self.place.identity

    def found(self, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """COLUMNS, (n * k,) each, by the points of its rows."""
        found, distance = nearest_by_one_tree(points, self.k, self.place.rng(), self.apart)
        return np.where(found < 0, -1, self.rows[found]).ravel(), distance.ravel()


Bucket = TwinBucket | NearBucket
BucketT = TypeVar("BucketT", TwinBucket, NearBucket)


def rows_of_buckets(numbers: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[int, int, np.ndarray]]:
    """(tree, number, rows) of each bucket of at least two points, by (n_trees, n) numbers of buckets; rows ascend.

    A bucket of more than MOST points is dealt into several at random, whatever made it so large.
    """
    for tree, of_tree in enumerate(numbers):
        order = np.argsort(of_tree, kind="stable")
        buckets = np.split(order, np.flatnonzero(np.diff(of_tree[order])) + 1)
        number = 0
        for rows in buckets:
            if len(rows) <= MOST:
                parts = [rows]
            else:
                parts = [np.sort(part) for part in np.array_split(rng.permutation(rows), -(-len(rows) // BUCKET))]
            for part in parts:
                if len(part) > 1:
                    yield tree, number, part
                number += 1
