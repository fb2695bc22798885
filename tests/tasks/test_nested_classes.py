"""Classes in a tree: its nodes, distances, and answers that stop above the classes."""

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.tasks.class_tree import ClassTree
from headstart.tasks.nested_classes import NestedClasses

CLASSES = ("animals/birds", "animals/insects/ants", "animals/insects/bees", "plants")
TASK = NestedClasses().knowing(CLASSES)


def test_the_nodes_of_a_tree() -> None:
    """Every beginning of a class's path is a node, those nearer to the root first; classes may lie at different depths."""
    tree = ClassTree.of(CLASSES)
    assert tree.nodes == (
        "animals",
        "plants",
        "animals/birds",
        "animals/insects",
        "animals/insects/ants",
        "animals/insects/bees",
    )
    assert (tree.n_levels, tree.depths.tolist()) == (3, [1, 1, 2, 2, 3, 3])
    assert [tree.nodes[i] for i in tree.at_depth(1)] == ["animals", "animals", "animals", "plants"]
    assert [tree.nodes[i] for i in tree.at_depth(2)] == ["animals/birds", "animals/insects", "animals/insects", "plants"]
    assert [tree.nodes[i] for i in tree.at_depth(3)] == list(CLASSES)


def test_distances_are_steps_along_the_tree() -> None:
    """Up to what two classes have in common, and down again."""
    assert ClassTree.of(CLASSES).distances().tolist() == [[0, 3, 3, 3], [3, 0, 2, 4], [3, 2, 0, 4], [3, 4, 4, 0]]


def test_a_class_below_another_is_refused() -> None:
    """An image that is only an animal says nothing of which; names that only begin alike are no path."""
    with pytest.raises(DataError, match="some images are of 'animals', others of classes below it") as caught:
        NestedClasses().in_order(["animals", "animals/birds", "plants"])
    assert "last level" in caught.value.hint
    assert NestedClasses().in_order(["animals", "animals-other/birds"]) == ("animals", "animals-other/birds")


@pytest.mark.parametrize(
    ("least", "said", "probability"),
    [
        (0.0, "animals/insects/bees", 0.45),
        (0.45, "animals/insects/bees", 0.45),
        (0.5, "animals/insects", 0.75),
        (0.8, "animals", 0.9),
        (0.95, "animals", 0.9),
    ],
)
def test_an_answer_stops_where_it_is_sure_enough(least: float, said: str, probability: float) -> None:
    """The lowest node above the most probable class that has the probability asked for; else the highest, which is unsure."""
    found, confidence = TASK.answer(CLASSES, np.array([0.15, 0.3, 0.45, 0.1]), least)
    assert (found, confidence) == (said, pytest.approx(probability))


def test_an_answer_above_the_class_is_right_if_the_class_is_below_it() -> None:
    """Taking a bee for an ant is wrong, calling it an insect is right; what no node is sure of is not answered."""
    probabilities = np.array([[0.1, 0.5, 0.4, 0.0], [0.1, 0.5, 0.4, 0.0], [0.25, 0.25, 0.0, 0.5]])
    labels = np.array([2, 3, 3])
    for least, answered, right in ((0.0, [1, 1, 1], [0, 0, 1]), (0.8, [1, 1, 0], [1, 0, 1])):
        found = TASK.judged(probabilities, labels, least)
        assert [values.astype(int).tolist() for values in found] == [answered, right]


@pytest.mark.parametrize("name", ["/animals/bees", "animals/bees/", "animals//bees", "animals/ /bees", "/"])
def test_a_level_without_a_name_is_refused(name: str) -> None:
    """A tree would get levels that mean nothing."""
    with pytest.raises(DataError, match="has a level without a name"):
        NestedClasses().in_order(["plants/ferns", name])


def test_two_spellings_of_a_group_are_refused() -> None:
    """They are one group, of which each would get half of the probability."""
    with pytest.raises(DataError, match="the groups 'Animals' and 'animals' differ only in case or spaces"):
        NestedClasses().in_order(["Animals/birds", "animals/bees"])
    with pytest.raises(DataError, match="the groups 'animals ' and 'animals' differ only in case or spaces"):
        NestedClasses().in_order(["animals /birds", "animals/bees"])
    assert len(NestedClasses().in_order(["animals/Others", "plants/others"])) == 2
