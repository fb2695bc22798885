"""Grades in an order: their order, the answer, sets of grades."""

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.settings import TrainSettings
from headstart.tasks.kinds import task_named, task_of
from headstart.tasks.ordered_grades import OrderedGrades
from headstart.tasks.single_label import SINGLE_LABEL


def test_numbers_are_in_order_by_value() -> None:
    """Grades that are numbers are sorted as numbers, also negative ones and fractions."""
    assert OrderedGrades().in_order(["-1", "0.5", "10", "2"]) == ("-1", "0.5", "2", "10")


@pytest.mark.parametrize("name", ["severe", "nan", "inf"])
def test_an_order_that_is_not_known(name: str) -> None:
    """Names that are no numbers need --grades."""
    with pytest.raises(DataError, match=f"the order of the grades is not known: '{name}' is no number") as caught:
        OrderedGrades().in_order(["1", name])
    assert "--grades" in caught.value.hint


def test_a_given_order_names_all_grades_and_no_others() -> None:
    """The order that the owner gives counts; a grade that it lacks, or one without images, is said."""
    assert OrderedGrades(("none", "slight", "severe")).in_order(["none", "severe", "slight"]) == ("none", "slight", "severe")
    with pytest.raises(DataError, match="--grades lacks 'worst'"):
        OrderedGrades(("none", "slight")).in_order(["none", "slight", "worst"])
    with pytest.raises(DataError, match="--grades names 'sligth', of which there is no image") as caught:
        OrderedGrades(("none", "sligth", "slight")).in_order(["none", "slight"])
    assert caught.value.hint == "did you mean slight?"


def test_the_answer_is_expected_to_be_the_fewest_grades_off() -> None:
    """No other grade has a smaller expected distance from the truth than the answer."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(5, 0.4), 500)
    distances = np.abs(np.arange(5)[:, None] - np.arange(5)[None, :])
    expected = probabilities @ distances
    answers = OrderedGrades().decide(probabilities)
    np.testing.assert_allclose(expected[np.arange(500), answers], expected.min(axis=1), atol=1e-12)
    assert (answers != probabilities.argmax(axis=1)).any()


def test_certain_answers_and_sums_that_are_rounded() -> None:
    """A grade that has all the probability is the answer, first or last, also if the sum is not quite 1."""
    assert OrderedGrades().decide(np.eye(4) * (1 - 1e-9)).tolist() == [0, 1, 2, 3]
    spread = np.array([[0.4, 0.15, 0.45]])
    assert (OrderedGrades().decide(spread).tolist(), OrderedGrades().confidence(spread).tolist()) == ([1], [0.15])
    assert OrderedGrades().answer(("a", "b", "c"), spread[0], 0.9) == ("b", 0.15)


def test_sets_have_no_gap_and_hold_the_answer() -> None:
    """Between two grades that cannot be ruled out none is ruled out."""
    sets = OrderedGrades().sets(np.array([[0.45, 0.1, 0.45], [0.9, 0.05, 0.05], [0.4, 0.2, 0.4]]), 0.42)
    assert [members.tolist() for members in sets] == [[0, 1, 2], [0], [1]]


def test_kinds_by_name() -> None:
    """Settings and manifests name the same kinds."""
    assert task_of(TrainSettings()) is task_named("single-label", ()) is SINGLE_LABEL
    assert task_of(TrainSettings.of(task="ordinal", grades="a, b")) == OrderedGrades(("a", "b"))
    assert task_named("ordinal", ("a", "b")) == OrderedGrades()
    assert task_of(TrainSettings.of(task="nested")).knowing(["a/b", "c"]) == task_named("nested", ("a/b", "c"))
