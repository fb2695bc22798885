"""Accuracy at each level of a tree, and how far mistakes are off."""

import numpy as np

from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.thresholds import precision_threshold, promises_kept
from headstart.evaluation.tree_metrics import TreeMetrics
from headstart.tasks.nested_classes import NestedClasses

CLASSES = ("animals/birds", "animals/insects/ants", "animals/insects/bees", "plants")
TASK = NestedClasses().knowing(CLASSES)


def tree_of(labels: np.ndarray, predicted: np.ndarray) -> TreeMetrics:
    found = evaluate_predictions(np.eye(4)[predicted], labels, CLASSES, split="test", task=TASK)
    assert Evaluation.from_json(found.as_json()) == found
    assert found.tree is not None
    return found.tree


def test_each_level_and_the_distance_of_mistakes() -> None:
    """A bee taken for an ant is right on two levels of three; a plant taken for one is right on none."""
    found = tree_of(np.array([2, 2, 3, 0]), np.array([2, 1, 1, 1]))
    assert [(level.depth, level.n_nodes, level.accuracy) for level in found.levels] == [(1, 2, 0.75), (2, 3, 0.5), (3, 4, 0.25)]
    assert (found.mean_distance, found.mistake_distance) == ((0 + 2 + 4 + 3) / 4, 3)
    assert all(level.accuracy_ci95 is None for level in found.levels) and found.mean_distance_ci95 is None


def test_right_answers_have_no_distance() -> None:
    """With enough images there are intervals; without a mistake there is no mistake to be far off."""
    labels = np.arange(40) % 4
    found = tree_of(labels, labels)
    assert (found.mean_distance, found.mistake_distance) == (0, None)
    assert all(level.accuracy == 1 and level.accuracy_ci95 is not None for level in found.levels)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are honest, and labels drawn from them: ants and bees are hard to tell apart."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.2, 1.0, 1.0, 0.2], n)
    return probabilities, (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def test_a_promised_precision_holds_on_the_tree() -> None:
    """Of 100 thresholds set for 90 % on 600 images, at least 95 keep it on others; most images are answered, groups too."""
    fresh = drawn(20_000, 10_000)
    kept = promised = 0
    for seed in range(100):
        found = precision_threshold(*drawn(600, seed), 0.9, task=TASK)
        check = promises_kept(*fresh, found.min_confidence, None, TASK)
        assert check.precision is not None
        kept += not found.promised or check.precision >= 0.9
        promised += found.promised
        assert check.share_answered > 0.7
    assert kept >= 95 and promised >= 80
    flat = precision_threshold(*drawn(600, 0), 0.9)
    assert flat.share_answered < 0.5
