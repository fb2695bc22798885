"""One class an image."""

from dataclasses import dataclass

import numpy as np

from headstart.settings import TaskName
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class SingleLabel(LearningTask):
    """The answer is the most probable class."""

    @property
    def name(self) -> TaskName:
        return "single-label"

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities.argmax(axis=1))


SINGLE_LABEL = SingleLabel()
