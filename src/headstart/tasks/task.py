"""LearningTask: what an answer is, where that differs from one kind of answer to another."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from headstart.settings import TaskName


class LearningTask(Protocol):
    """A kind of answer. The probabilities of all kinds here are those of one class in several."""

    @property
    def name(self) -> TaskName:
        """As --task names it."""
        ...

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes of the data in the order that answers have them. Raises DataError."""
        ...

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, n_classes) probabilities -> (n,) int64: the class that is the answer to each image."""
        ...

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """For each row the classes that cannot be ruled out: all of at least `min_probability`, and the answer."""
        ...


def decided(task: LearningTask, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 and (n,) float64: the answer to each image and its probability."""
    answers = task.decide(probabilities)
    return answers, probabilities[np.arange(len(answers)), answers]
