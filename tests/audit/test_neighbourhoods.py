"""Many pictures are compared bucket by bucket, with the same result wherever that is done and whatever ends meanwhile."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from headstart.audit import buckets, comparable, tree_tops
from headstart.audit.neighbourhoods import neighbourhood_at
from headstart.audit.shared_points import SharedPoints
from headstart.audit.tree_tops import bucket_numbers
from headstart.data.facts import ImageFacts
from headstart.jobs.parts import PartFolder, PartsElsewhere
from headstart.progress import Progress, silent

N, N_FEATURES, N_COPIES = 3_000, 300, 30
Pairs = set[tuple[int, int]]


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 points are parted into sixteen buckets, each time."""
    monkeypatch.setattr(comparable, "MANY", 1_000)
    monkeypatch.setattr(tree_tops, "BUCKET", 200)
    monkeypatch.setattr(buckets, "BUCKET", 200)
    monkeypatch.setattr(buckets, "MOST", 400)


def planted() -> tuple[np.ndarray, np.ndarray, Pairs]:
    """Features and hashes, and the pairs of copies among them."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N, N_FEATURES)).astype(np.float32)
    hashes = rng.integers(0, 2**63, N, dtype=np.uint64)
    first, second = rng.permutation(N)[: 2 * N_COPIES].reshape(2, -1)
    vectors[second] = vectors[first] + 0.05 * rng.normal(size=(N_COPIES, N_FEATURES))
    hashes[second] = hashes[first] ^ np.uint64(0b101)
    return vectors, hashes, {(min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}


def found(workplace: str | None, parts: PartFolder | None = None, progress: Progress = silent) -> tuple[Pairs, Pairs]:
    """Twins, and pairs of near points."""
    vectors, hashes, _ = planted()
    facts, apart = [ImageFacts()] * N, np.arange(N) // 2
    with neighbourhood_at(vectors, np.arange(N), facts, workplace, parts, progress) as neighbourhood:
        twins = neighbourhood.twin_pairs(hashes)
        near = neighbourhood.nearest_pairs(2, 3, np.random.default_rng(0), apart)
        assert (apart[near[0]] != apart[near[1]]).all()
        return set(zip(*map(np.ndarray.tolist, twins), strict=True)), set(zip(*map(np.ndarray.tolist, near), strict=True))


def test_planted_copies_are_found_in_buckets() -> None:
    """Each copy is found although the points are never together, and nothing else is; each point has a near one."""
    twins, near = found(None)
    assert twins == planted()[2]
    assert {i for pair in near for i in pair} == set(range(N))


@pytest.mark.process
def test_workers_find_the_same_also_when_one_is_killed(tmp_path: Path) -> None:
    """The pairs are those of this process, and all that was kept of the work is removed at the end."""
    killed = []

    def kill(stage: str, done: int, total: int) -> None:
        if done > 20 and not killed:
            killed.extend(multiprocessing.active_children())
            for worker in multiprocessing.active_children():
                worker.kill()

    parts = PartFolder(tmp_path / "parts")
    assert found("local:2", parts, kill) == found(None)
    assert len(killed) == 2
    assert not parts.place.exists()


@pytest.mark.process
def test_what_is_found_is_not_looked_for_again(tmp_path: Path) -> None:
    """A command that is started again goes on with the buckets that are missing."""
    parts = PartFolder(tmp_path / "parts")

    def cancel(stage: str, done: int, total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found("local:2", parts, cancel)
    kept = {file: file.stat().st_mtime_ns for file in parts.place.glob("*.parquet")}
    assert len(kept) >= 25

    def look(stage: str, done: int, total: int) -> None:
        assert {file: file.stat().st_mtime_ns for file in kept} == kept

    assert found("local:2", parts, look) == found(None)


def test_equal_points_do_not_fill_one_bucket() -> None:
    """Of a third of all pictures that are equal, no bucket has more than others."""
    points = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
    points[: N // 3] = 1
    rng = np.random.default_rng(0)
    rows = [rows for _, _, rows in buckets.rows_of_buckets(bucket_numbers(points, 2, rng), rng)]
    assert max(map(len, rows)) <= buckets.MOST
    assert sorted(np.concatenate(rows).tolist()) == sorted([*range(N)] * 2)


def test_points_at_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers get the points back as they were put there, in several objects."""
    from headstart.audit import shared_points

    monkeypatch.setattr(shared_points, "BLOCK", 7)
    points = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    shared = SharedPoints.written(points, PartsElsewhere("memory://points/of/job"))
    np.testing.assert_array_equal(shared.opened()[:], points)
