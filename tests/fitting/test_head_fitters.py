"""Heads of every kind of answer, fitted through the one table of features."""

from collections.abc import Callable

import numpy as np
import pytest

from headstart.fitting.feature_table import FeatureTable
from headstart.tasks.one_number import Numbers
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL

N, FEATURES = 120, 5
Make = Callable[[np.ndarray], FeatureTable]


def classes(vectors: np.ndarray) -> FeatureTable:
    """Two classes, by the sign of the first feature."""
    return FeatureTable(vectors, (vectors[:, 0] > 0).astype(np.int64), np.arange(N) // 2, 2, False, SINGLE_LABEL, ("a", "b"))


def labels(vectors: np.ndarray) -> FeatureTable:
    """Two labels, by the signs of the first two features."""
    return FeatureTable(vectors, (vectors[:, :2] > 0).astype(np.int8), np.arange(N) // 2, 2, False, SeveralLabels(), ("a", "b"))


def numbers(vectors: np.ndarray) -> FeatureTable:
    """The first feature in another unit."""
    values = 1000 + 50 * vectors[:, 0].astype(np.float64)
    return FeatureTable(vectors, values, np.arange(N) // 2, 1, False, Numbers.like(values), ("size",))


@pytest.fixture
def vectors() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(N, FEATURES)).astype(np.float32)
    found[1::2] = found[::2] + 0.01  # twins, each pair a group
    return found


@pytest.mark.parametrize("make", [classes, labels, numbers])
def test_a_probe_answers_in_the_words_of_its_task(make: Make, vectors: np.ndarray) -> None:
    """It is right on rows that it was not fitted on, on the answers that folds held out, and again at a given strength."""
    table, seen, new = make(vectors), np.arange(0, 80), np.arange(80, N)
    probe = table.fit(seen, 0)
    assert table.right(probe.head.logits_of(vectors, new), new).mean() > 0.8
    assert probe.held_out is not None and len(probe.held) == 80 and probe.n_folds > 1
    assert table.deciding_as(probe).right(probe.held_out, seen[probe.held]).mean() > 0.8
    answers = table.answer(probe, new, "test")
    assert table.task.are_right(answers.decisions(table.task), table.labels[new]).mean() > 0.8
    again = table.fit(seen, 0, like=probe)
    assert again.held_out is None and (again.strength, again.stage_scale) == (probe.strength, probe.stage_scale)


@pytest.mark.parametrize("make", [classes, labels, numbers])
def test_folds_answer_for_rows_that_they_never_saw(make: Make, vectors: np.ndarray) -> None:
    """Every row has one answer, with its group; of labels that mean nothing hardly any is right."""
    table, rows = make(vectors), np.arange(20, N)
    found = table.cross_validate(rows, 4, 0)
    assert found.held.tolist() == list(range(100)) and sorted(set(found.fold.tolist())) == [0, 1, 2, 3]
    assert (found.fold[::2] == found.fold[1::2]).all()
    assert table.task.right(found.probabilities, table.labels[rows]).mean() > 0.8
    noise = make(np.random.default_rng(1).normal(size=(N, FEATURES)).astype(np.float32))
    other = FeatureTable(vectors, noise.labels, table.groups, table.n_classes, False, noise.task, table.names)
    assert other.task.right(other.cross_validate(rows, 4, 0).probabilities, other.labels[rows]).mean() < 0.7


def test_only_several_labels_have_thresholds(vectors: np.ndarray) -> None:
    """A table decides by those of a probe, where it has any; else it stays as it is."""
    for make in (classes, numbers):
        table = make(vectors)
        probe = table.fit(np.arange(N), 0)
        assert probe.thresholds == () and table.deciding_as(probe).task == table.task
        assert table.answer(probe, np.arange(N), "val").decided is None
    table = labels(vectors)
    probe = table.fit(np.arange(N), 0)
    assert [one.name for one in probe.thresholds] == ["a", "b"]
    assert table.deciding_as(probe).task == SeveralLabels(tuple(one.threshold for one in probe.thresholds))
    assert table.answer(probe, np.arange(N), "val").decided is not None
