"""The result of a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.numbers import summary_sentence, uneven_sentence
from headstart.evaluation.metrics import Evaluation
from headstart.model.features import Work


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: its folder and its results."""

    run: Path
    evaluation: Evaluation
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
        """The reported accuracy in one sentence."""
        return summary_sentence(self.evaluation)

    @property
    def uneven(self) -> str:
        """What to look at besides the accuracy if classes are uneven."""
        return uneven_sentence(self.evaluation)
