"""One class an image, where the classes are the leaves of a tree: an answer may stop above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headstart.data.spellings import spelling_key
from headstart.errors import DataError
from headstart.settings import TaskName
from headstart.tasks.class_tree import SEPARATOR, ClassTree
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class NestedClasses(LearningTask):
    """The answer is the most probable class, or the lowest node above it that is probable enough."""

    classes: tuple[str, ...] = ()  # of the data; empty before these are known

    @property
    def name(self) -> TaskName:
        return "nested"

    @property
    def tree(self) -> ClassTree:
        """The tree of the classes."""
        return _tree_of(self.classes)

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        _check_levels(classes)
        ClassTree.of(classes)  # which refuses a class that is below another
        return tuple(classes)

    def knowing(self, classes: Sequence[str]) -> "NestedClasses":
        return NestedClasses(tuple(classes))

    def judged(self, probabilities: np.ndarray, labels: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """An answer above the classes is right if the true class is below it."""
        node, confidence = self._nodes(probabilities, min_confidence)
        return confidence >= min_confidence, self.tree.below[node, labels]

    def answer(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float) -> tuple[str, float]:
        """The lowest node from the most probable class upwards that is probable enough, else the highest."""
        node, confidence = self._nodes(probabilities[None], min_confidence)
        return self.tree.nodes[int(node[0])], float(confidence[0])

    def _nodes(self, probabilities: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 and float64: the node that answers, and its probability."""
        above = self.tree.above[self.decide(probabilities)]  # (n, n_levels), from the root down
        confidence = np.take_along_axis(self.tree.probabilities(probabilities), above, axis=1)
        enough = confidence >= min_confidence
        level = np.where(enough.any(axis=1), above.shape[1] - 1 - enough[:, ::-1].argmax(axis=1), 0)
        rows = np.arange(len(above))
        return above[rows, level], confidence[rows, level]


def _check_levels(classes: Sequence[str]) -> None:
    """Raises DataError if a level has no name, or if two names at one place differ only in case or spaces: one was meant."""
    nodes: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name in classes:
        path = tuple(name.split(SEPARATOR))
        if not all(map(str.strip, path)):
            raise DataError(
                f"the class {name!r} has a level without a name",
                hint=f"write one {SEPARATOR} between two levels, and none at the ends, as in animals{SEPARATOR}birds",
            )
        for depth in range(1, len(path) + 1):
            twin = nodes.setdefault(tuple(map(spelling_key, path[:depth])), path[:depth])
            if twin != path[:depth]:
                one, other = (SEPARATOR.join(node) for node in (twin, path[:depth]))
                raise DataError(f"the groups {one!r} and {other!r} differ only in case or spaces", hint="rename one of them")


@lru_cache(maxsize=64)
def _tree_of(classes: tuple[str, ...]) -> ClassTree:
    """Made once."""
    return ClassTree.of(classes)
