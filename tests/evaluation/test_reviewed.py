"""The accuracy with wrong labels taken out is the true one, as far as its interval says."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evaluation.review_plan import plan_review
from headstart.evaluation.reviewed import NO_CLASS, correct_accuracy

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program whose full version takes minutes."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("reviewed")


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(410,) predictions, labels and true classes: 25 mistakes, 11 of which are wrong labels; agreements are all right."""
    truth = np.arange(410) % 2
    predicted, labels = truth.copy(), truth.copy()
    labels[:11] = 1 - truth[:11]
    predicted[11:25] = 1 - truth[11:25]
    return predicted, labels, truth


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(
    ("n", "accuracy", "wrong"), [(400, 0.8, 0.1), (400, 0.98, 0.05), (1000, 0.9, 0.05), (2000, 0.8, 0.05), (2000, 0.98, 0.1)]
)
def test_holds_the_truth(simulation: ModuleType, n: int, accuracy: float, wrong: float, alike: bool) -> None:
    """With 200 images reviewed, the interval holds the true accuracy 95 times in 100, without bias; the naive is off."""
    found = simulation.simulate(simulation.Case(n, 10, accuracy, wrong, alike), runs=150, seed=1)
    assert 0.91 <= found["coverage_new"] <= 1  # of 150 runs at 0.95, fewer than 0.91 are seen 1 time in 70
    assert found["coverage_these"] >= 0.91
    assert abs(found["bias"]) < 0.005
    assert abs(found["naive_bias"]) > 0.01


def test_the_sentence() -> None:
    """All mistakes and 175 agreements reviewed: what was found, the estimate and its interval, in one sentence."""
    predicted, labels, truth = example()
    rows = np.arange(200)
    found = correct_accuracy(predicted, labels, rows, truth[rows])
    assert found.sentence.startswith("93.9 %, of the 25 mistakes 11 were wrong labels: 96.6 % [")
    low, high = found.accuracy_ci95
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in found.sentence
    assert found.naive == pytest.approx(385 / 410)
    assert found.accuracy == pytest.approx(396 / 410)
    assert (found.mistakes.n_wrong_labels, found.mistakes.n_right, found.agreements.n_wrong_labels) == (11, 11, 0)


def test_the_sentence_tells_of_samples_and_of_right_answers() -> None:
    """Where only some mistakes were reviewed it says how many, and wrong labels among the right answers are told too."""
    predicted, labels, truth = example()
    truth[100] = 1 - truth[100]
    rows = np.array([5, 20, 100, 101, 102])
    sentence = correct_accuracy(predicted, labels, rows, truth[rows]).sentence
    assert ", of 2 of the 25 mistakes 1 was a wrong label, of 3 of the 385 right answers 1 was a wrong label: " in sentence


def test_no_wrong_label_found_is_no_certainty() -> None:
    """A sample of agreements without a wrong label leaves doubt about the others; a review of all leaves none."""
    predicted, labels, truth = example()
    low, high = correct_accuracy(predicted, labels, np.arange(125), truth[:125]).of_these_ci95
    assert low < 395 / 410 < 396 / 410 == high
    everything = correct_accuracy(predicted, labels, np.arange(410), truth)
    assert everything.of_these_ci95 == (396 / 410, 396 / 410)
    assert everything.accuracy_ci95[0] < 0.95 < 0.98 < everything.accuracy_ci95[1]


def test_more_reviewed_is_narrower() -> None:
    """The interval shrinks from few reviewed agreements to all, down to that of the images themselves."""
    predicted, labels, truth = example()
    widths = [np.ptp(correct_accuracy(predicted, labels, np.arange(n), truth[:n]).accuracy_ci95) for n in (35, 75, 200, 410)]
    assert widths == sorted(widths, reverse=True)


def test_all_right_and_all_wrong() -> None:
    """An estimate of 1 or 0 is the end of its interval, which has a width."""
    labels = np.arange(60) % 2
    right = correct_accuracy(labels, labels, np.arange(30), labels[:30])
    assert right.accuracy == right.accuracy_ci95[1] == 1
    assert 0.85 < right.accuracy_ci95[0] < 0.99
    assert right.sentence.startswith("100.0 %, no mistakes: 100.0 % [")
    wrong = correct_accuracy(1 - labels, labels, np.arange(60), labels)
    assert wrong.accuracy == wrong.accuracy_ci95[0] == 0 < wrong.accuracy_ci95[1] < 0.1


def test_images_in_groups_count_as_fewer() -> None:
    """Where images come in groups that are right or wrong together, the interval for new images is wider."""
    predicted, labels, truth = example()
    rows = np.arange(200)
    alone = correct_accuracy(predicted, labels, rows, truth[rows])
    grouped = correct_accuracy(predicted, labels, rows, truth[rows], np.arange(410) // 5)
    assert np.ptp(grouped.accuracy_ci95) > 1.3 * np.ptp(alone.accuracy_ci95)
    assert grouped.of_these_ci95 == alone.of_these_ci95
    few = correct_accuracy(predicted, labels, rows, truth[rows], np.arange(410) // 100)
    assert few.sentence.endswith("96.6 % (too few groups for an interval)")


def test_images_of_no_class_are_taken_out() -> None:
    """A reviewed image that is of none of the classes leaves, and takes its share of those like it along."""
    predicted, labels, truth = example()
    truth[[0, 11, 12]] = NO_CLASS
    found = correct_accuracy(predicted, labels, np.arange(410), truth)
    assert found.accuracy == pytest.approx(395 / 407)
    assert (found.mistakes.n_left_out, found.mistakes.n_right, found.mistakes.n_wrong_labels) == (3, 10, 13)


@pytest.mark.parametrize(
    ("rows", "words"), [(slice(0, 25), "right answers was reviewed, of 385"), (slice(25, 99), "mistakes was")]
)
def test_both_kinds_are_needed(rows: slice, words: str) -> None:
    """Reviewing only mistakes, or none of them, cannot tell the accuracy: refused with what to do."""
    predicted, labels, truth = example()
    with pytest.raises(DataError, match=words) as caught:
        correct_accuracy(predicted, labels, np.arange(410)[rows], truth[rows])
    assert "random sample" in caught.value.hint


def test_the_plan_takes_all_mistakes_and_a_sample_of_agreements() -> None:
    """Each row once, mistakes and agreements mixed, the sample by the seed."""
    predicted, labels, _ = example()
    plan = plan_review(predicted, labels, budget=100)
    assert len(set(plan.rows.tolist())) == 100
    assert (plan.n_mistakes, plan.n_agreements) == (25, 75)
    assert set(range(25)) <= set(plan.rows.tolist())
    assert 4 <= sum(row < 25 for row in plan.rows[:20]) <= 6
    assert plan.rows.tolist() == plan_review(predicted, labels, budget=100).rows.tolist()
    assert plan.rows.tolist() != plan_review(predicted, labels, budget=100, seed=1).rows.tolist()


def test_the_plan_samples_mistakes_if_they_are_many() -> None:
    """Half of the rows are left for agreements."""
    labels = np.arange(1000) % 2
    predicted = np.where(np.arange(1000) < 400, 1 - labels, labels)
    plan = plan_review(predicted, labels, budget=200)
    assert (plan.n_mistakes, plan.n_agreements) == (100, 100)


def test_the_plan_is_sized_for_a_width() -> None:
    """A narrower interval takes more images, as few as give it; the review then has about that interval."""
    predicted, labels, truth = example()
    plans = [plan_review(predicted, labels, half_width=width) for width in (0.05, 0.03, 0.022)]
    assert len(plans[0].rows) < len(plans[1].rows) < len(plans[2].rows) < 410
    for plan, width in zip(plans, (0.05, 0.03, 0.022), strict=True):
        assert width - 0.003 < plan.half_width <= width
        found = correct_accuracy(predicted, labels, plan.rows, truth[plan.rows])
        assert np.ptp(found.accuracy_ci95) / 2 < width + 0.005
    assert len(plan_review(predicted, labels, half_width=0.001).rows) == 410
    assert len(plan_review(predicted, labels, half_width=0.001, budget=50).rows) == 50
    assert len(plan_review(predicted, labels, half_width=0.05, budget=400).rows) == len(plans[0].rows)
    assert 25 < len(plan_review(predicted, labels).rows) < 410


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("budget", [None, 1, 5])
def test_the_plan_of_hardly_any_images(n: int, budget: int | None) -> None:
    """One image, no mistakes or only mistakes: the plan can be reviewed."""
    labels = np.zeros(n, np.int64)
    for predicted in (labels, labels + 1, np.arange(n) % 2):
        rows = plan_review(predicted, labels, budget=budget).rows
        assert 0 <= correct_accuracy(predicted, labels, rows, labels[rows]).accuracy <= 1
