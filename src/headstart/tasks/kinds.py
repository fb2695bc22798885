"""The kinds of answers by name."""

from headstart.settings import TaskName, TrainSettings
from headstart.tasks.ordered_grades import OrderedGrades
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


def task_named(name: TaskName) -> LearningTask:
    """The task of a saved model, whose classes are in order."""
    return OrderedGrades() if name == "ordinal" else SINGLE_LABEL


def task_of(settings: TrainSettings) -> LearningTask:
    """The task that is to be learnt."""
    return OrderedGrades(settings.listed_grades) if settings.task == "ordinal" else SINGLE_LABEL
