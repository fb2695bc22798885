"""Thresholds of several labels: the best F1, promised precisions and recalls, and sets that hold the true labels."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from headstart.evaluation.label_risk import risk_threshold
from headstart.evaluation.label_thresholds import ThresholdRule, best_f1_threshold, label_thresholds

NAMES = ("a", "b")


def drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right as often as they say, and the labels."""
    probabilities = rng.beta([0.5, 0.3], [0.7, 1.0], (n, 2))
    return probabilities, (rng.random((n, 2)) < probabilities).astype(np.int8)


def test_the_best_f1() -> None:
    probabilities, labels = drawn(400, np.random.default_rng(0))
    best = best_f1_threshold(probabilities[:, 0], labels[:, 0] == 1)
    tried = [f1_score(labels[:, 0], probabilities[:, 0] >= t) for t in np.unique(probabilities[:, 0])]
    assert f1_score(labels[:, 0], probabilities[:, 0] >= best) == pytest.approx(max(tried))


@pytest.mark.parametrize(("aim", "target"), [("precision", 0.9), ("precision", 0.8), ("recall", 0.9)])
def test_promises_hold_in_95_of_100_simulations(aim: str, target: float) -> None:
    """Of 200 thresholds that promise it, chosen on 1,000 images, at most 5 % (and chance) break it on all images there are."""
    rng = np.random.default_rng(1)
    population, truth = drawn(200_000, rng)
    rule = ThresholdRule(aim, target)  # type: ignore[arg-type]
    promised = broken = 0
    for _ in range(200):
        rows = rng.choice(len(population), 1000)
        for i, chosen in enumerate(label_thresholds(population[rows], truth[rows], NAMES, rule)):
            if not chosen.promised:
                continue
            said, has = population[:, i] >= chosen.threshold, truth[:, i] == 1
            kept = has[said].mean() if aim == "precision" else said[has].mean()
            promised += 1
            broken += kept < target
    assert promised >= 150
    assert broken <= 0.05 * promised + 1.7 * np.sqrt(0.05 * 0.95 * promised)


def test_too_few_images_promise_nothing() -> None:
    probabilities, labels = drawn(30, np.random.default_rng(2))
    assert not any(one.promised for one in label_thresholds(probabilities, labels, NAMES, ThresholdRule("precision", 0.95)))
    few = np.zeros((30, 2), np.int8)
    few[:2] = 1
    assert [one.threshold for one in label_thresholds(probabilities, few, NAMES, ThresholdRule())] == [0.5, 0.5]


def test_nothing_is_promised_where_something_was_chosen_before() -> None:
    probabilities, labels = drawn(2000, np.random.default_rng(3))
    rule = ThresholdRule("recall", 0.9)
    assert all(one.promised for one in label_thresholds(probabilities, labels, NAMES, rule))
    assert not any(one.promised for one in label_thresholds(probabilities, labels, NAMES, rule, can_promise=False))


def test_copies_promise_no_more_than_images() -> None:
    """Ten copies of each of 40 images are not 400 images."""
    rng = np.random.default_rng(4)
    labels = np.zeros((40, 2), np.int8)
    labels[:20] = 1
    probabilities = np.where(labels == 1, 0.9, 0.1) + 0.05 * rng.random((40, 2))
    copies, groups = np.repeat(np.arange(40), 10), np.repeat(np.arange(40), 10)
    rule = ThresholdRule("recall", 0.9)
    as_images = label_thresholds(probabilities[copies], labels[copies], NAMES, rule)
    as_groups = label_thresholds(probabilities[copies], labels[copies], NAMES, rule, groups)
    assert as_images[0].promised and as_groups[0].threshold <= as_images[0].threshold


def test_sets_hold_the_share_of_true_labels_that_was_asked_for() -> None:
    """On average over new images at most a tenth of the true labels is missed, and not much less."""
    rng = np.random.default_rng(5)
    population, truth = drawn(100_000, rng)
    missed = []
    for _ in range(40):
        rows = rng.choice(len(population), 300)
        threshold = risk_threshold(population[rows], truth[rows], 0.9).min_probability
        has = truth == 1
        missed.append((((population < threshold) & has).sum(axis=1) / np.maximum(has.sum(axis=1), 1)).mean())
    assert 0.07 < np.mean(missed) <= 0.103


def test_too_few_images_for_sets() -> None:
    probabilities, labels = drawn(5, np.random.default_rng(6))
    assert risk_threshold(probabilities, labels, 0.9).min_probability == 0.0
