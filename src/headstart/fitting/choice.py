"""The strategy of a run, and the reason if --strategy auto chose it."""

from typing import Literal

from pydantic import Field

from headstart.evaluation.paired import Difference
from headstart.schema import Positive, Schema
from headstart.settings import TrainSettings


class Choice(Schema):
    """The strategy that is carried out, and why it was chosen."""

    strategy: Literal["probe", "finetune"]
    epochs: Positive | None = None  # of fine-tuning, if there is time for fewer than planned
    why: str  # a sentence
    # Fine-tuning minus the probe, on val, where its epoch was chosen. Earlier versions: on a part of train, in a trial.
    difference: Difference | None = Field(None, alias="finetune_minus_probe")
    is_users: bool = Field(False, exclude=True)  # whether the user named the strategy

    def resolve(self, settings: TrainSettings) -> TrainSettings:
        """The settings with the choice filled in."""
        return settings.model_copy(update={"strategy": self.strategy, "epochs": self.epochs or settings.epochs})

    def with_result(self, difference: Difference) -> "Choice":
        """The choice of fine-tuning, with what it gained."""
        gained = (
            f"; on val, where its epoch was chosen, it is better by {difference.in_points()}" if difference.gain > 0 else ""
        )
        return self.model_copy(update={"difference": difference, "why": self.why + gained})


def keep_probe(why: str) -> Choice:
    """The choice of the probe, with the reason `why`."""
    return Choice(strategy="probe", why=f"the probe: {why}")
