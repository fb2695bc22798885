"""How the owner wants DATA to be read."""

from dataclasses import dataclass, replace
from typing import Self

from headstart.settings import Boxes, TaskName, TrainSettings


@dataclass(frozen=True, slots=True)
class Reading:
    """The columns of tables with the paths and the labels (None: by their names), and what is done about labels."""

    path_column: str | None = None
    label_column: str | None = None
    join_case: bool = False  # whether spellings of a class are one
    with_unlabelled: bool = False  # whether images without a label are candidates too: people label them in a project
    several: bool = False  # whether an image has any number of labels (see label_sets.py)
    numbers: bool = False  # whether labels are numbers
    is_part: bool = False  # whether there are classes elsewhere: then one folder of images is a class, and need not hold all
    nested: bool = False  # whether the folders between a class folder and an image are part of its class
    labels_are_optional: bool = False  # whether data without any labels is images without labels: they are not needed
    without_labels: bool = False  # whether nobody asks for labels, and those that are there do not matter
    boxes: Boxes = "auto"  # what the columns of boxes hold, or that there are none

    @property
    def takes_no_labels(self) -> bool:
        """Whether data without any labels is good enough."""
        return self.with_unlabelled or self.labels_are_optional or self.without_labels

    @classmethod
    def of(cls, settings: TrainSettings) -> Self:
        """What the settings say."""
        columns, has_project = (settings.path_column, settings.label_column), settings.labels is not None
        found = cls(*columns, settings.join_case, with_unlabelled=has_project, boxes=settings.boxes)
        return found.for_task(settings.task)

    def for_task(self, task: TaskName) -> Self:
        """The same for the labels of a task."""
        return replace(self, several=task == "multi-label", numbers=task == "regression", nested=task == "nested")


AS_IT_IS = Reading()
