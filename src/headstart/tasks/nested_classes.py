"""One class an image, where the classes are the leaves of a tree: an answer may stop above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headstart.settings import TaskName
from headstart.tasks.class_tree import ClassTree
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


@lru_cache(maxsize=64)
def _tree_of(classes: tuple[str, ...]) -> ClassTree:
    """Made once."""
    return ClassTree.of(classes)
