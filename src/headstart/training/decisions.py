"""What a model says beside its probabilities, settled on images it did not learn from."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.evaluation.calibration import Calibration, expected_calibration_error
from headstart.evaluation.decisions import (
    ConformalThreshold,
    PrecisionThreshold,
    conformal_threshold,
    images_needed,
    precision_threshold,
    promises_kept,
)
from headstart.evaluation.probabilities import log_losses
from headstart.settings import TrainSettings
from headstart.training.fitted import Answers


@dataclass(frozen=True, slots=True)
class Decisions:
    """The thresholds that were asked for, and on what images they were set."""

    set_on: str = ""  # in words
    precision: PrecisionThreshold | None = None
    conformal: ConformalThreshold | None = None

    def as_json(self, reported: Answers, labels: np.ndarray) -> dict[str, Any] | None:
        """As metrics.json holds it: the thresholds, and whether they keep their promise on the reported images."""
        if self.precision is None and self.conformal is None:
            return None
        kept = promises_kept(
            reported.probabilities,
            labels[reported.indices],
            self.precision.min_confidence if self.precision else 0.0,
            self.conformal.min_probability if self.conformal else None,
        )
        return {
            "set_on": self.set_on,
            "precision": self.precision and asdict(self.precision),
            "conformal": self.conformal and asdict(self.conformal),
            "reported": kept.as_json(),
        }

    def notes(self) -> tuple[str, ...]:
        """What the owner should know of them."""
        found = []
        if self.precision:
            p = self.precision
            says = (
                f"--target-precision {p.target:g}: below {p.min_confidence:.3f} the answer is unsure; of {p.n} images "
                f"({self.set_on}) {p.share_answered:.1%} are answered, {p.precision:.1%} of these rightly"
            )
            if not p.promised:
                says += (
                    f"; too few images to promise it: at least {images_needed(p.target)} answers without a mistake are needed"
                )
            found.append(says)
        if self.conformal:
            c = self.conformal
            says = (
                f"--conformal {c.coverage:g}: the sets hold {c.mean_size:.2f} classes on average ({c.n} images, {self.set_on})"
            )
            if c.min_probability == 0:
                says = f"--conformal {c.coverage:g}: {c.n} images are too few for it; every set holds all classes"
            found.append(says)
        return tuple(found)


def decide(held_out: Answers | None, labels: np.ndarray, settings: TrainSettings) -> Decisions:
    """Thresholds from answers to images that the model did not learn from; `labels` are the data set's."""
    if held_out is None:
        return Decisions()
    known = labels[held_out.indices]
    return Decisions(
        held_out.in_words(),
        (settings.target_precision and precision_threshold(held_out.probabilities, known, settings.target_precision)) or None,
        (settings.conformal and conformal_threshold(held_out.probabilities, known, settings.conformal)) or None,
    )


def calibration_of(answers: Answers, labels: np.ndarray, temperature: float, fitted_on: str) -> Calibration | None:
    """Log loss and ECE of some answers before and after the temperature; None where there is none to compare."""
    if answers.uncalibrated is None:
        return None
    known = labels[answers.indices]
    both = answers.uncalibrated, answers.probabilities if answers.calibrated_apart is None else answers.calibrated_apart
    losses = [float(log_losses(probabilities, known).mean()) for probabilities in both]
    errors = [expected_calibration_error(probabilities, known) for probabilities in both]
    return Calibration(temperature, fitted_on, (losses[0], losses[1]), (errors[0], errors[1]))
