"""Splits of images with several labels: every part has its share of each label, and no group is divided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.set_splits import dealt_by_labels
from headstart.data.splits import can_be_held, fold_count, folds, hold_out, parted
from headstart.errors import DataError


def drawn(n: int, shares: list[float], seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, len(shares))) < shares).astype(np.int8)


def test_every_fold_has_its_share_of_each_label() -> None:
    """Also of a label that few images have, where chance would leave folds without it."""
    labels = drawn(1000, [0.5, 0.1, 0.01])
    counts = np.array([labels[held].sum(axis=0) for _, held in folds(labels, np.arange(1000), 5, seed=1)])
    assert (counts.max(axis=0) - counts.min(axis=0) <= [3, 2, 1]).all()
    assert counts.sum(axis=0).tolist() == labels.sum(axis=0).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60), st.integers(1, 12))
def test_groups_stay_together(seed: int, n: int, n_groups: int) -> None:
    labels, groups = drawn(n, [0.4, 0.2], seed), np.random.default_rng(seed).integers(0, n_groups, n)
    part = dealt_by_labels(labels, groups, [0.8, 0.2], seed)
    assert all(len(set(part[groups == group])) == 1 for group in set(groups.tolist()))
    assert set(part.tolist()) <= {0, 1}


def test_images_that_were_looked_at_are_trained_on() -> None:
    labels, seen = drawn(200, [0.3, 0.1]), np.arange(200) < 100
    held = hold_out(labels, np.arange(200), 0.2, 0, ["a", "b"], seen)
    assert not held[seen].any() and 35 <= held.sum() <= 45


def test_one_group_cannot_be_held_out() -> None:
    labels, groups = drawn(20, [0.5, 0.5]), np.zeros(20, np.int64)
    assert not can_be_held(labels, groups).any() and fold_count(labels, groups) == 1
    assert len(set(parted(labels, groups).tolist())) == 20
    with pytest.raises(DataError, match="nothing can be held out"):
        hold_out(labels, groups, 0.2, 0, ["a", "b"])


def test_the_same_seed_gives_the_same_split() -> None:
    labels = drawn(300, [0.4, 0.05])
    one, same, other = (dealt_by_labels(labels, np.arange(300), [0.5, 0.5], seed) for seed in (3, 3, 4))
    assert (one == same).all() and (one != other).any()
