"""Thresholds keep what they promise, on images that they were not set on."""

import numpy as np
import pytest

from headstart.evaluation.thresholds import (
    conformal_threshold,
    images_needed,
    precision_threshold,
    promises_kept,
)
from headstart.tasks.probabilities import softmax
from headstart.tasks.single_label import SINGLE_LABEL


def drawn(n: int, seed: int, n_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities with labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(size=(n, n_classes)) * 2.5)
    return probabilities, (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def test_a_promised_precision_is_kept() -> None:
    """Of thresholds set on 1,500 images with a promise of 0.9, at most one in twenty gives less on 50,000 others."""
    others = drawn(50_000, seed=99)
    thresholds = [precision_threshold(*drawn(1500, seed), 0.9) for seed in range(60)]
    assert all(found.promised for found in thresholds)
    precisions = [promises_kept(*others, found.min_confidence, None).precision for found in thresholds]
    assert sum(precision is not None and precision < 0.9 for precision in precisions) <= 3
    assert np.mean([found.share_answered for found in thresholds]) > 0.3


def test_few_images_promise_nothing() -> None:
    """Fifty images without a mistake are too few for 0.99: the threshold says so, and how many it takes."""
    probabilities = np.tile([0.9, 0.1], (50, 1))
    found = precision_threshold(probabilities, np.zeros(50, int), 0.99)
    assert not found.promised and found.precision == 1 and found.share_answered == 1 and found.min_confidence == 0
    n = images_needed(0.99)
    assert precision_threshold(np.tile([0.9, 0.1], (n, 1)), np.zeros(n, int), 0.99).promised
    assert not precision_threshold(np.tile([0.9, 0.1], (n - 1, 1)), np.zeros(n - 1, int), 0.99).promised


def test_a_target_out_of_reach_answers_nothing() -> None:
    """Where even the surest answers are wrong, none is given."""
    found = precision_threshold(np.tile([0.9, 0.1], (100, 1)), np.ones(100, int), 0.9)
    assert (found.min_confidence, found.share_answered, found.promised) == (1.0, 0.0, False)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_cover_what_they_promise(coverage: float) -> None:
    """Over many draws of 200 images the sets hold the true class as often as promised, and hardly more."""
    others = drawn(5_000, seed=99)
    kept = [promises_kept(*others, 0.0, conformal_threshold(*drawn(200, seed), coverage).min_probability) for seed in range(60)]
    covered = np.mean([one.coverage for one in kept if one.coverage is not None])
    assert coverage - 0.01 <= covered <= coverage + 0.02


def test_too_few_images_rule_nothing_out() -> None:
    """With 18 images 0.95 cannot be promised but by all classes; with 19 it can."""
    assert conformal_threshold(*drawn(18, 0), 0.95).min_probability == 0
    assert conformal_threshold(*drawn(19, 0), 0.95).min_probability > 0


def test_a_set_is_never_empty_and_begins_with_the_best() -> None:
    """A threshold that no class reaches leaves the most probable one."""
    sets = SINGLE_LABEL.sets(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]), 0.9)
    assert [members.tolist() for members in sets] == [[1], [2]]
    assert SINGLE_LABEL.sets(np.array([[0.2, 0.5, 0.3]]), 0.0)[0].tolist() == [1, 2, 0]


def test_nothing_answered_has_no_precision() -> None:
    """The share is 0 and the precision unknown, not perfect."""
    kept = promises_kept(*drawn(20, 0), 1.1, None)
    assert (kept.share_answered, kept.precision, kept.coverage) == (0.0, None, None)
