"""How the owner wants DATA to be read."""

from dataclasses import dataclass
from typing import Self

from headstart.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Reading:
    """The columns of tables with the paths and the labels (None: by their names), and whether spellings of a class are one."""

    path_column: str | None = None
    label_column: str | None = None
    join_case: bool = False

    @classmethod
    def of(cls, settings: TrainSettings) -> Self:
        """What the settings say."""
        return cls(settings.path_column, settings.label_column, settings.join_case)


AS_IT_IS = Reading()
