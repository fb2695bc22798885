"""One class an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.settings import TaskName


@dataclass(frozen=True, slots=True)
class SingleLabel:
    """The answer is the most probable class."""

    @property
    def name(self) -> TaskName:
        return "single-label"

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        return tuple(classes)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        answers: np.ndarray = probabilities.argmax(axis=1)
        return answers

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """The most probable class comes first."""
        found = []
        for row in probabilities:
            order = np.argsort(-row, kind="stable")
            kept = row[order] >= min_probability
            kept[0] = True
            found.append(order[kept])
        return found


SINGLE_LABEL = SingleLabel()
