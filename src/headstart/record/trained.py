"""The result of a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.evaluation_words import words_of
from headstart.evaluation.judging import AnyEvaluation
from headstart.model.features import Work


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: its folder and its results."""

    run: Path
    evaluation: AnyEvaluation
    metrics: dict[str, Any]  # as in metrics.json
    notes: tuple[str, ...]  # what the owner should know
    interrupted: bool
    work: Work  # how much the pass over the files had to compute
    extension: str = ""  # what adding to a finished run changed, in a sentence; "" for a run that extends none

    @property
    def model(self) -> Path:
        """The folder of the bundle."""
        return self.run / "model"

    @property
    def summary(self) -> str:
        """The reported accuracy, or error, in one sentence."""
        return words_of(self.evaluation).sentence()

    @property
    def uneven(self) -> str:
        """What to look at besides the accuracy if classes are uneven."""
        return words_of(self.evaluation).uneven
