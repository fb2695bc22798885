"""What --strategy auto decided on."""

from dataclasses import dataclass
from typing import Any

from headstart.evaluation.paired import Difference
from headstart.settings import Strategy, TrainSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and why."""

    strategy: Strategy  # "probe" or "finetune"
    epochs: int | None  # of fine-tuning, where the time allows fewer than the plan's
    why: str  # a sentence
    difference: Difference | None = None  # of fine-tuning to the probe, on the held-out part of train

    def resolve(self, settings: TrainSettings) -> TrainSettings:
        """The settings with the choice made."""
        return settings.model_copy(update={"strategy": self.strategy, "epochs": self.epochs or settings.epochs})

    def as_json(self) -> dict[str, Any]:
        """As metrics.json holds it."""
        compared = self.difference and {
            "gain": self.difference.gain,
            "gain_ci95": list(self.difference.ci95),
            "n": self.difference.n,
            "shown": self.difference.is_shown,
        }
        return {"strategy": self.strategy, "epochs": self.epochs, "why": self.why, "finetune_minus_probe": compared}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Choice":
        """The choice that `as_json` wrote."""
        found = values["finetune_minus_probe"]
        difference = found and Difference(found["gain"], tuple(found["gain_ci95"]), found["n"], found["shown"])
        return cls(values["strategy"], values["epochs"], values["why"], difference)
