"""A number an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.table_numbers import number_text
from headstart.settings import TaskName
from headstart.tasks.task import LearningTask, Link

CLOSE = 0.5  # standard deviations of the training images' numbers: nearer answers count as right while a network is trained

SAME = 0.01  # standard deviations within which two answers to an image are the same


@dataclass(frozen=True, slots=True)
class Numbers(LearningTask):
    """The answer is the one output of the network.

    Labels are (n,) float64. What are probabilities elsewhere are (n, 1) float64 numbers. The network's output has a mean of 0
    and a standard deviation of 1 over the training images, so that steps of training suit numbers of any unit.
    """

    mean: float = 0.0  # of the numbers of the training images, and their standard deviation:
    spread: float = 1.0  # the network's output is a number less the mean, in these

    @classmethod
    def like(cls, numbers: np.ndarray) -> "Numbers":
        """The task for training images with (n,) numbers."""
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    @property
    def name(self) -> TaskName:
        return "regression"

    @property
    def link(self) -> Link:
        return "identity"

    def targets(self, labels: np.ndarray) -> np.ndarray:
        return (labels - self.mean) / self.spread

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(n, 1) outputs of the network -> float64 numbers."""
        return np.asarray(logits, np.float64) * self.spread + self.mean

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities - self.mean) / self.spread

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n,) squared errors, in variances of the training images' numbers: about 1 for always answering their mean."""
        return np.asarray(np.square(logits[:, 0].astype(np.float64) - self.targets(labels)))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) float64: the numbers."""
        return np.asarray(probabilities[:, 0])

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """Nothing is known of it: how certain a number is, its interval says."""
        return np.ones(len(probabilities))

    def are_right(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Which numbers are off by less than CLOSE standard deviations."""
        return np.asarray(np.abs(answers - labels) < CLOSE * self.spread)

    def judged(self, probabilities: np.ndarray, labels: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Every image has an answer."""
        return np.ones(len(probabilities), bool), self.right(probabilities, labels)

    def answer(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float) -> tuple[str, float]:
        """The number as text."""
        return number_text(float(probabilities[0])), 1.0

    def named(self, classes: Sequence[str], answer: Any) -> str:
        return number_text(float(answer))

    def agree(self, truth: str, answer: str) -> bool:
        return abs(float(truth) - float(answer)) < CLOSE * self.spread

    def alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Which numbers are the same but for SAME standard deviations."""
        return np.asarray(np.abs(one - other)[:, 0] < SAME * self.spread)

    @property
    def unit(self) -> float:
        return self.spread

    def is_unsure(self, probability: float, min_confidence: float) -> bool:
        return False


NUMBERS = Numbers()
