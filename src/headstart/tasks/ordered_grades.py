"""One of several grades an image, where a grade is nearer to its neighbours than to others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import DataError, did_you_mean
from headstart.settings import TaskName
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class OrderedGrades(LearningTask):
    """The answer is the median grade: of all answers it is expected to be the fewest grades off.

    The mean of the grades would be right for fewer images: of the solar cells 63 % instead of 76 %, and 78 % for the most
    probable grade, which is further off when it is wrong (docs/tasks.md).
    """

    grades: tuple[str, ...] = ()  # in their order, as the owner gave them; empty: as their numbers say

    @property
    def name(self) -> TaskName:
        return "ordinal"

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        """In the order given, else by number. Raises DataError if it is not known, or names other classes."""
        if not self.grades:
            return _by_number(classes)
        missing = [name for name in classes if name not in self.grades]
        if missing:
            raise DataError(f"--grades lacks {missing[0]!r}, which the data has", hint="name every grade, the lowest first")
        absent = [name for name in self.grades if name not in classes]
        if absent:
            raise DataError(
                f"--grades names {absent[0]!r}, of which there is no image", hint=did_you_mean(absent[0], list(classes))
            )
        return self.grades

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        below = probabilities.cumsum(axis=1) < 0.5 * probabilities.sum(axis=1, keepdims=True)
        answers: np.ndarray = np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
        return answers

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """From the lowest of them to the highest without a gap, in their order."""
        found = []
        for row, answer in zip(probabilities, self.decide(probabilities).tolist(), strict=True):
            kept = np.append(np.flatnonzero(row >= min_probability), answer)
            found.append(np.arange(kept.min(), kept.max() + 1))
        return found


def _by_number(classes: Sequence[str]) -> tuple[str, ...]:
    numbers = []
    for name in classes:
        try:
            number = float(name)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise DataError(
                f"the order of the grades is not known: {name!r} is no number",
                hint="name them with --grades, the lowest first, as in --grades none,slight,severe",
            )
        numbers.append(number)
    return tuple(name for _, name in sorted(zip(numbers, classes, strict=True)))
