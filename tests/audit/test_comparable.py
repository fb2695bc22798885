"""Many images are compared in short."""

from pathlib import Path

import numpy as np
import pytest

from headstart.audit import comparable as module
from headstart.audit.comparable import comparable
from headstart.audit.points import standardised
from headstart.audit.twin_pairs import twin_pairs
from headstart.model.features_on_disk import FeaturesOnDisk, first_columns

N, N_FEATURES, N_COPIES = 3_000, 600, 30


def test_of_few_nothing_is_lost() -> None:
    """An array is what it was, and a file is read."""
    vectors = np.random.default_rng(0).normal(size=(20, N_FEATURES)).astype(np.float32)
    assert comparable(vectors) is vectors


def test_copies_are_found_in_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file or an array, copies stay near to each other, and others far: the planted pairs are found, and no others."""
    monkeypatch.setattr(module, "MANY", 1_000)
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(N, N_FEATURES)) * rng.uniform(0.1, 9, N_FEATURES) + 5).astype(np.float32)
    hashes = rng.integers(0, 2**63, N, dtype=np.uint64)
    first, second = rng.permutation(N)[: 2 * N_COPIES].reshape(2, -1)
    vectors[second] = vectors[first] + 0.05 * vectors.std(axis=0) * rng.normal(size=(N_COPIES, N_FEATURES))
    hashes[second] = hashes[first] ^ np.uint64(0b101)
    on_disk = FeaturesOnDisk(tmp_path / "features", N, N_FEATURES + 3, is_new=True, dtype=np.float32)
    for row in range(N):
        on_disk[row] = np.concatenate([vectors[row], rng.normal(size=3)])
    on_disk.close()
    short = comparable(first_columns(on_disk, N_FEATURES))
    assert short.shape == (N, module.SHORT)
    np.testing.assert_array_equal(short, comparable(vectors))
    found = twin_pairs(hashes, standardised(short))
    assert set(zip(*(side.tolist() for side in found), strict=True)) == {
        (min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)
    }
