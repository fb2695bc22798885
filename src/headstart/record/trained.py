"""The result of a finished run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.number_words import numbers_sentence
from headstart.artifact.numbers import summary_sentence, uneven_sentence
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.model.features import Work


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: its folder and its results."""

    run: Path
    evaluation: Evaluation | NumberEvaluation
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
        if isinstance(self.evaluation, NumberEvaluation):
            return numbers_sentence(self.evaluation)
        return summary_sentence(self.evaluation)

    @property
    def uneven(self) -> str:
        """What to look at besides the accuracy if classes are uneven."""
        if isinstance(self.evaluation, NumberEvaluation):
            return ""
        return uneven_sentence(self.evaluation)
