"""Whether there are enough labels for now."""

import numpy as np
import pytest

from headstart.labelling.live_model import LiveFit, LiveModel
from headstart.labelling.next_images import FEW_LABELS
from headstart.labelling.stability import FEWEST, StabilityWatch, disagreement, earlier

CLASSES = ["a", "b", "c"]


def drawn(n: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 12) float16 vectors in three classes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return (apart * np.eye(12)[labels] + rng.normal(size=(n, 12))).astype(np.float16), labels


def judged(watch: StabilityWatch, vectors: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> LiveFit:
    """A fit to the rows that have a label, when it was judged."""
    rows, model = np.flatnonzero(labels >= 0), LiveModel()
    model.stop()
    fit = model.fit(vectors, rows, labels[rows], rows, CLASSES)
    watch.judge(model, fit, vectors, fit.answers(vectors)[0], np.zeros(len(rows), int) if order is None else order[rows])
    return fit


def counts(labels: np.ndarray) -> np.ndarray:
    """Labels of each class."""
    return np.bincount(labels[labels >= 0], minlength=3)


def test_enough_when_the_latest_labels_change_nothing() -> None:
    """Of classes that lie apart sixty labels are enough; where a third of them still changes many answers they are not."""
    watch = StabilityWatch()
    for apart, says in ((12.0, True), (1.5, False)):
        vectors, truth = drawn(900, apart)
        labels = np.where(np.arange(900) < 60, truth, -1)
        judged(watch, vectors, labels)
        sentence = watch.enough(counts(labels))
        assert (sentence is not None) == says
        if sentence:
            assert sentence.startswith("Enough for now: the latest third of the 60 labels changed only 0.0% of the answers")


@pytest.mark.parametrize("n", [FEW_LABELS * 3 - 1, FEWEST - 1])
def test_never_with_few_labels(n: int) -> None:
    """However sure the model is."""
    watch, (vectors, truth) = StabilityWatch(), drawn(300, 20.0)
    labels = np.where(np.arange(300) < n, truth, -1)
    judged(watch, vectors, labels)
    assert watch.enough(counts(labels)) is None


def test_a_new_class_takes_it_back_at_once() -> None:
    """A class with no label or few is not known well enough, before any fit has seen it."""
    watch, (vectors, truth) = StabilityWatch(), drawn(300, 20.0)
    labels = np.where(np.arange(300) < 60, truth, -1)
    judged(watch, vectors, labels)
    assert watch.enough(counts(labels)) is not None
    for n, says in ((0, False), (FEW_LABELS - 1, False), (FEW_LABELS, True)):
        assert (watch.enough(np.append(counts(labels), n)) is not None) == says


def test_three_judgements_in_a_row() -> None:
    """Of labels that grow one judgement alone may be chance; where the studio is opened with many, it is all that there is."""
    watch, (vectors, truth) = StabilityWatch(), drawn(300, 20.0)
    for n, says in ((FEWEST - 1, False), (40, False), (45, False), (50, True)):
        labels = np.where(np.arange(300) < n, truth, -1)
        judged(watch, vectors, labels)
        assert (watch.enough(counts(labels)) is not None) == says, n


def test_answers_that_change_again_take_it_back() -> None:
    """Labels that contradict those before: there is more to learn."""
    watch, (vectors, truth) = StabilityWatch(), drawn(300, 8.0)
    labels = np.where(np.arange(300) < 60, truth, -1)
    judged(watch, vectors, labels, np.arange(300))
    assert watch.enough(counts(labels)) is not None
    labels[60:120] = (truth[60:120] + 1) % 3
    judged(watch, vectors, labels, np.arange(300))
    assert watch.enough(counts(labels)) is None


def test_without_a_model_nothing_is_enough() -> None:
    """What was found goes with the model."""
    watch, (vectors, labels) = StabilityWatch(), drawn(90, 20.0)
    fit = judged(watch, vectors, labels)
    assert watch.enough(counts(labels)) is not None and not watch.is_due(fit)
    watch.forget()
    assert watch.enough(counts(labels)) is None and watch.is_due(fit)
    assert watch.enough(np.zeros(0, int)) is None


def test_it_is_judged_anew_when_a_tenth_is_new_gone_or_another() -> None:
    """Not at each label: a judgement takes as long as a fit."""
    watch, (vectors, labels) = StabilityWatch(), drawn(100, 6.0)
    fit = judged(watch, vectors, labels)

    def is_due(rows: np.ndarray, labels: np.ndarray) -> bool:
        return watch.is_due(LiveFit(rows, labels, fit.chosen, fit.head, None, None))

    for n, due in ((109, False), (110, True)):
        assert is_due(np.arange(n), np.arange(n) % 3) == due
    for n, due in ((9, False), (10, True)):
        assert is_due(fit.rows[n:], labels[n:]) == due
        others = labels.copy()
        others[:n] = (others[:n] + 1) % 3
        assert is_due(fit.rows, others) == due


def test_two_thirds_of_each_class_came_first() -> None:
    """By order, whatever the order of the rows; without an order any, and nearly the same ones when a label is added."""
    labels, order = np.repeat([0, 1], [6, 3]), np.array([9, 1, 2, 3, 4, 8, 7, 6, 5])
    assert earlier(labels, order, np.arange(9)).tolist() == [1, 2, 3, 4, 7, 8]
    assert earlier(np.array([0, 0, 1]), np.zeros(3), np.arange(3))[-1] == 2, "a class of one label is not lost"
    rows = np.arange(300)
    before, after = (set(earlier(rows[:n] % 2, np.zeros(n), rows[:n]).tolist()) for n in (298, 300))
    assert len(before) == 200 and len(before - after) <= 2


def test_disagreement_weighs_rare_classes() -> None:
    """The share of answers that differ, where classes are as frequent; more where a rare class is concerned."""
    now = np.repeat([0, 1], 100)
    assert disagreement(now, now) == 0
    before = now.copy()
    before[[0, 150]] = 1 - before[[0, 150]]
    assert disagreement(before, now) == pytest.approx(0.01)
    now = np.repeat([0, 1], [190, 10])
    before = now.copy()
    before[-5:] = 0
    assert disagreement(before, now) > 0.15
    assert disagreement(np.array([0, 2]), np.array([0, 0])) == pytest.approx(1 - (2 / 3 + 0) / 2)


def test_what_has_no_answer_is_not_compared() -> None:
    """Images that are left out or cannot be read, and those whose labels the other model knew: it repeats them."""
    vectors, truth = drawn(300, 20.0)
    rows, model, watch = np.arange(60), LiveModel(), StabilityWatch()
    model.stop()
    fit = model.fit(vectors, rows, truth[:60], rows, CLASSES)
    answers = np.full(300, -1)
    kept = earlier(fit.labels, np.zeros(60), rows)
    answers[kept], answers[100] = (truth[kept] + 1) % 3, truth[100]
    watch.judge(model, fit, vectors, answers, np.zeros(60))
    assert watch.enough(counts(truth[:60])) is not None
    answers[100] = (truth[100] + 1) % 3
    watch.judge(model, fit, vectors, answers, np.zeros(60))
    assert watch.enough(counts(truth[:60])) is None
    watch.judge(model, fit, vectors, np.full(300, -1), np.zeros(60))
    assert watch.enough(counts(truth[:60])) is None, "nothing to compare"
