"""Which pictures are near each other, by their points: of few all at once, of many bucket by bucket, wherever that is done."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from headstart.audit.bucket_task import BucketTask, found_in
from headstart.audit.buckets import BucketT, NearBucket, Place, TwinBucket, rows_of_buckets
from headstart.audit.comparable import are_many, comparable
from headstart.audit.neighbours import nearer, nearest_pairs, pairs_of
from headstart.audit.points import LOOKS, points_of_few, points_of_many
from headstart.audit.shared_points import SharedPoints
from headstart.audit.tree_tops import bucket_numbers
from headstart.audit.twin_pairs import TREES, LikelyPairs, twin_pairs, twins_of
from headstart.data.facts import ImageFacts
from headstart.jobs.crew import Crew
from headstart.jobs.crews import open_crew
from headstart.jobs.job import Job
from headstart.jobs.parts import PartFolder, Parts
from headstart.jobs.parts_in_memory import PartsInMemory
from headstart.jobs.scanning import JOBS
from headstart.jobs.shards import Shard
from headstart.model.features_on_disk import Features, FeaturesOnDisk, first_columns
from headstart.progress import Progress, silent
from headstart.storage import home, sha256_of_bytes
from headstart.workplace import workplace_of

STAGE = "comparing images"
TOGETHER = 4  # buckets of a shard: half a second of work, which is lost if its worker is killed


class Neighbourhood(Protocol):
    """Points of pictures, and which of them are near each other."""

    @property
    def points(self) -> Features:
        """(n, n_features + LOOKS) float32."""
        ...

    @property
    def standard(self) -> Features:
        """(n, n_features) float32: their standardised features alone."""
        ...

    def twin_pairs(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(first, second) int64 of twins, by (n,) uint64 difference hashes and the features. Raises HeadstartError."""
        ...

    def nearest_pairs(
        self, k: int, n_trees: int, rng: np.random.Generator, apart: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(first, second) int64: each point with its `k` nearest that have another number in `apart`. Raises HeadstartError."""
        ...


@dataclass(frozen=True, slots=True)
class OfFew:
    """Points in memory."""

    points: np.ndarray

    @property
    def standard(self) -> np.ndarray:
        return self.points[:, :-LOOKS]

    def twin_pairs(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return twin_pairs(hashes, self.standard)

    def nearest_pairs(
        self, k: int, n_trees: int, rng: np.random.Generator, apart: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return nearest_pairs(self.points, k, n_trees, rng, apart)


@dataclass(frozen=True, slots=True)
class OfMany:
    """Points in a file, and workers that compare them. What they find does not depend on where they are, or how many."""

    points: FeaturesOnDisk
    task: BucketTask
    crew: Crew
    parts: Parts
    progress: Progress = silent

    @property
    def standard(self) -> Features:
        return first_columns(self.points, self.points.shape[1] - LOOKS)

    def twin_pairs(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng, columns = np.random.default_rng(0), self.standard.shape[1]
        numbers, seed = bucket_numbers(self.standard, TREES, rng), int(rng.integers(1 << 62))
        search = sha256_of_bytes(hashes.tobytes())
        buckets = (
            TwinBucket(columns, hashes[rows], rows, Place(search, seed, tree, number))
            for tree, number, rows in rows_of_buckets(numbers, rng)
        )
        crowd, found = np.full(len(hashes), -1.0, np.float32), []
        for bucket, (first, second, similarity, of_rows) in self._found(buckets):
            crowd[bucket.rows] = np.maximum(crowd[bucket.rows], of_rows)
            found.append((first, second, similarity))
        first, second, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
        return twins_of([LikelyPairs(first, second, similarity, crowd)])

    def nearest_pairs(
        self, k: int, n_trees: int, rng: np.random.Generator, apart: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        numbers, seed = bucket_numbers(self.points, n_trees, rng), int(rng.integers(1 << 62))
        search = sha256_of_bytes(f"{k} ".encode() + (b"" if apart is None else apart.tobytes()))
        buckets = (
            NearBucket(k, None if apart is None else apart[rows], rows, Place(search, seed, tree, number))
            for tree, number, rows in rows_of_buckets(numbers, rng)
        )
        n = len(self.points)
        found, distance = np.full((n, k), -1), np.full((n, k), np.inf, np.float32)
        for bucket, (near, far) in self._found(buckets):
            rows, others = bucket.rows, (near.reshape(-1, k), far.reshape(-1, k))
            found[rows], distance[rows] = nearer((found[rows], distance[rows]), others)
        return pairs_of(found, distance)

    def _found(self, buckets: Iterable[BucketT]) -> Iterator[tuple[BucketT, tuple[np.ndarray, ...]]]:
        """Each bucket with what was found in it, in their order."""
        source = iter(buckets)
        shards = (Shard.of(some, self.task.key) for some in iter(lambda: tuple(islice(source, TOGETHER)), ()))
        job = Job(self.task, self.crew, self.parts, stage=STAGE, progress=self.progress)
        for shard, table in job.run(shards):
            yield from zip(shard.items, found_in(table, shard.items[0]), strict=True)


@contextmanager
def neighbourhood_at(
    features: Features,
    rows: np.ndarray,
    facts: Sequence[ImageFacts],
    workplace: str | None,
    parts: Parts | None = None,
    progress: Progress = silent,
) -> Iterator[Neighbourhood]:
    """Yields the neighbourhood of pictures with these facts, which are some rows of the features of images.

    Many are compared by the workers of a place, or by this process as the only one; `parts`, or a folder of home(), keeps what
    workers have found until the block ends without an error. Raises HeadstartError.
    """
    if not are_many(len(features)):
        vectors = comparable(features)
        yield OfFew(points_of_few(vectors[rows] if len(rows) < len(vectors) else vectors, facts))
        return
    points, digest = points_of_many(features, rows, facts)
    if workplace is None:
        task, place, parts = BucketTask.of(points, digest), None, PartsInMemory()
    else:
        parts = parts or PartFolder(home() / JOBS / digest[:32], at_home=True)
        task, place = BucketTask.of(SharedPoints.written(points, parts), digest), workplace_of(workplace)
    with open_crew(place, task, parts, n_threads=1) as crew:
        yield OfMany(points, task, crew, parts, progress)
    parts.remove()
