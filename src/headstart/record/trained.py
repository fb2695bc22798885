"""What a finished run is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.numbers import summary_sentence, uneven_sentence
from headstart.evaluation.metrics import Evaluation
from headstart.model.features import Work


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: where it is and what it found."""

    run: Path
    evaluation: Evaluation
    metrics: dict[str, Any]  # as metrics.json holds it
    notes: tuple[str, ...]  # what the owner should know
    interrupted: bool
    work: Work  # what the pass over the files had to do

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.run / "model"

    @property
    def summary(self) -> str:
        """The claim in one sentence."""
        return summary_sentence(self.evaluation)

    @property
    def uneven(self) -> str:
        """What to look at beside the claim where classes are uneven."""
        return uneven_sentence(self.evaluation)
