"""The strategy of a run, and why it was chosen where --strategy auto was asked for."""

from typing import Literal

from pydantic import Field

from headstart.evaluation.paired import Difference
from headstart.schema import Positive, Schema
from headstart.settings import TrainSettings


class Choice(Schema):
    """What is done, and why where that was not asked for by name."""

    strategy: Literal["probe", "finetune"]
    epochs: Positive | None = None  # of fine-tuning, where the time allows fewer than the plan's
    why: str  # a sentence
    # Of fine-tuning to the probe, on the held-out part of train.
    difference: Difference | None = Field(None, alias="finetune_minus_probe")
    is_users: bool = Field(False, exclude=True)  # the strategy was named, so that there was nothing to choose

    def resolve(self, settings: TrainSettings) -> TrainSettings:
        """The settings with the choice made."""
        return settings.model_copy(update={"strategy": self.strategy, "epochs": self.epochs or settings.epochs})


def keep_probe(why: str, difference: Difference | None = None) -> Choice:
    """The choice of the probe, for a reason."""
    return Choice(strategy="probe", why=f"the probe: {why}", difference=difference)
