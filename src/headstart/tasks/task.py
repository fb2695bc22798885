"""LearningTask: what an answer is, where that differs from one kind of answer to another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from headstart.settings import TaskName


class LearningTask(ABC):
    """A kind of answer: to each image it is one class of several, made of the probabilities of all."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> TaskName:
        """As --task names it."""

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes of the data in the order that answers have them. Raises DataError."""
        return tuple(classes)

    def knowing(self, classes: Sequence[str]) -> "LearningTask":
        """The task with these classes, which are in order."""
        return self

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, n_classes) probabilities -> (n,) int64: the class that is the answer to each image; the most probable one."""
        return np.asarray(probabilities.argmax(axis=1))

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) float64: the probability of that class."""
        return np.asarray(probabilities[np.arange(len(probabilities)), self.decide(probabilities)])

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """For each row the classes that cannot be ruled out: all of at least `min_probability`, and the answer."""
        found = []
        for row in probabilities:
            order = np.argsort(-row, kind="stable")  # the most probable one comes first
            kept = row[order] >= min_probability
            kept[0] = True
            found.append(order[kept])
        return found

    def judged(self, probabilities: np.ndarray, labels: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool twice: which images get an answer that is not "unsure", and whether the answer to each is right."""
        return self.confidence(probabilities) >= min_confidence, self.decide(probabilities) == labels

    def answer(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float) -> tuple[str, float]:
        """What is said of an image with (n_classes,) probabilities, and its probability: unsure if that is too low."""
        number = int(self.decide(probabilities[None])[0])
        return classes[number], float(probabilities[number])
