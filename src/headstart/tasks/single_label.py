"""One class an image."""

from dataclasses import dataclass

from headstart.settings import TaskName
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class SingleLabel(LearningTask):
    """The answer is the most probable class."""

    @property
    def name(self) -> TaskName:
        return "single-label"


SINGLE_LABEL = SingleLabel()
