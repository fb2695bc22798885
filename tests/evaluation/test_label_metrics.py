"""Metrics of several labels, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, hamming_loss

from headstart.evaluation.judging import evaluate_answers
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.precision_recall import average_precision
from headstart.tasks.several_labels import SeveralLabels

NAMES = ("a", "b", "c")


def drawn(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.5, 0.2, 0.1]).astype(np.int8)
    return np.clip(0.35 * labels + 0.6 * rng.random((n, 3)), 0, 1).round(2), labels


def judged(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> Evaluation:
    return evaluate_answers(probabilities, labels, NAMES, split="val", task=SeveralLabels(), groups=groups)


def test_the_numbers_are_scikit_learns() -> None:
    probabilities, labels = drawn()
    found, said = judged(probabilities, labels), probabilities >= 0.5
    sets = found.label_sets
    assert sets is not None
    assert found.accuracy == pytest.approx(accuracy_score(labels, said))
    assert found.macro_f1 == pytest.approx(f1_score(labels, said, average="macro"))
    assert sets.micro_f1 == pytest.approx(f1_score(labels, said, average="micro"))
    assert sets.wrong_share == pytest.approx(hamming_loss(labels, said))
    assert sets.mean_average_precision == pytest.approx(average_precision_score(labels, probabilities, average="macro"))
    assert sets.together == tuple(map(tuple, (labels.T.astype(int) @ labels.astype(int)).tolist()))
    assert sets.mean_average_precision_ci95 is not None
    low, high = sets.mean_average_precision_ci95
    assert low < sets.mean_average_precision < high
    assert Evaluation.from_json(found.as_json()) == found


def test_what_is_not_known_does_not_count() -> None:
    """Hiding labels changes nothing but the number of those that are judged."""
    probabilities, labels = drawn()
    hidden = labels.copy()
    hidden[:100, 1] = -1
    found = judged(probabilities, hidden)
    assert found.label_sets is not None
    assert found.label_sets.per_label[1].n_known == 200
    assert found.per_class[1].n == int(labels[100:, 1].sum())
    expected = average_precision_score(labels[100:, 1], probabilities[100:, 1])
    assert found.label_sets.per_label[1].average_precision == pytest.approx(expected)
    said = probabilities >= 0.5
    right = ((said == (labels == 1)) | (hidden == -1)).all(axis=1)
    assert found.accuracy == pytest.approx(right.mean())


def test_a_label_that_no_image_has_is_not_judged() -> None:
    probabilities, labels = drawn()
    labels[:, 2] = 0
    found = judged(probabilities, labels)
    assert found.label_sets is not None and found.label_sets.per_label[2].average_precision is None
    expected = np.mean([average_precision_score(labels[:, i], probabilities[:, i]) for i in (0, 1)])
    assert found.label_sets.mean_average_precision == pytest.approx(expected)


def test_copies_of_images_make_nothing_more_certain() -> None:
    """Four copies of each image in one group have intervals as wide as the images alone, or wider."""
    probabilities, labels = drawn(100)
    alone = judged(probabilities, labels).label_sets
    copied = judged(np.repeat(probabilities, 4, axis=0), np.repeat(labels, 4, axis=0), np.repeat(np.arange(100), 4)).label_sets
    assert alone is not None and copied is not None
    assert alone.mean_average_precision_ci95 is not None and copied.mean_average_precision_ci95 is not None
    widths = [high - low for low, high in (alone.mean_average_precision_ci95, copied.mean_average_precision_ci95)]
    assert widths[1] > 0.8 * widths[0]


def test_equal_scores_are_one_step() -> None:
    scores, has = np.array([0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, False])
    assert average_precision(scores, has) == pytest.approx(average_precision_score(has, scores))
