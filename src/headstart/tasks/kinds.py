"""The kinds of answers by name."""

from collections.abc import Sequence

from headstart.settings import TaskName, TrainSettings
from headstart.tasks.nested_classes import NestedClasses
from headstart.tasks.one_number import NUMBERS
from headstart.tasks.ordered_grades import OrderedGrades
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask


def task_named(name: TaskName, classes: Sequence[str]) -> LearningTask:
    """The task of a saved model."""
    kinds: dict[TaskName, LearningTask] = {
        "single-label": SINGLE_LABEL,
        "ordinal": OrderedGrades(),
        "nested": NestedClasses(),
        "multi-label": SeveralLabels(),
        "regression": NUMBERS,
    }
    return kinds[name].knowing(classes)


def task_of(settings: TrainSettings) -> LearningTask:
    """The task that is to be learnt, before the classes are known."""
    return OrderedGrades(settings.listed_grades) if settings.task == "ordinal" else task_named(settings.task, ())
