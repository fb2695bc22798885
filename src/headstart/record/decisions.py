"""Decision thresholds of a model, set on images it was not trained on."""

from dataclasses import dataclass

import numpy as np

from headstart.data.wording import listed
from headstart.evaluation.calibration import (
    BeforeAndAfter,
    Calibration,
    CalibrationError,
    ece_by_chance,
    expected_calibration_error,
)
from headstart.evaluation.label_risk import risk_threshold
from headstart.evaluation.label_thresholds import LabelThreshold
from headstart.evaluation.thresholds import (
    ConformalThreshold,
    PrecisionThreshold,
    PromiseCheck,
    conformal_threshold,
    images_needed,
    precision_threshold,
    promises_kept,
)
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.schema import Schema
from headstart.settings import TaskName, TrainSettings
from headstart.tasks.probabilities import log_losses
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

NO_PROMISE = "not a promise: the best epoch was chosen on the same images"


class PromisedSets(ConformalThreshold):
    """A conformal threshold, and whether its coverage is guaranteed."""

    promised: bool


class DecisionsReport(Schema):
    """The thresholds of a run as metrics.json holds them."""

    set_on: str  # which images, in words
    precision: PrecisionThreshold | None
    conformal: PromisedSets | None
    labels: tuple[LabelThreshold, ...] = ()  # of several labels
    reported: PromiseCheck | None  # how they perform on the reported images; None if they were set on these images


@dataclass(frozen=True, slots=True)
class Decisions:
    """The requested thresholds and the images they were set on."""

    set_on: str = ""  # in words
    split: str = ""  # the split of these images; "" if there were none
    selected_on: bool = False  # whether the best epoch was chosen on them
    precision: PrecisionThreshold | None = None
    conformal: ConformalThreshold | None = None
    labels: tuple[LabelThreshold, ...] = ()  # of several labels

    @property
    def sets_are_promised(self) -> bool:
        """Whether the coverage of conformal sets is guaranteed: not if the best epoch was chosen on the same images."""
        return not self.selected_on

    def report(self, reported: SplitAnswers, labels: np.ndarray, task: LearningTask) -> "DecisionsReport | None":
        """The thresholds, and whether they keep their promises on the reported images; None if none were requested."""
        if self.precision is None and self.conformal is None and not self.labels:
            return None
        kept = None
        if reported.split != self.split:  # otherwise these are the images they were set on
            kept = promises_kept(
                reported.probabilities,
                labels[reported.indices],
                self.precision.min_confidence if self.precision else 0.0,
                self.conformal.min_probability if self.conformal else None,
                task,
            )
        sets = self.conformal and PromisedSets(**dict(self.conformal), promised=self.sets_are_promised)
        return DecisionsReport(set_on=self.set_on, precision=self.precision, conformal=sets, labels=self.labels, reported=kept)

    def notes(self, settings: TrainSettings) -> tuple[str, ...]:
        """What the owner should know about the thresholds."""
        found = []
        if self.precision:
            found.append(self._of_precision(self.precision, settings.task))
        if self.conformal:
            found.append(self._of_sets(self.conformal, settings.task))
        found += self._of_labels()
        if not self.split and (settings.target_precision or settings.conformal):
            found.append("--target-precision and --conformal have no effect: too few images to set a threshold on")
        return tuple(found)

    def caveats(self) -> tuple[str, ...]:
        """The limits of the thresholds, in sentences for the model card."""
        if self.conformal is None or self.conformal.min_probability == 0 or self.sets_are_promised:
            return ()
        return (f"the coverage of {self.conformal.coverage:.0%} for its sets of classes is {NO_PROMISE}",)

    def _of_labels(self) -> list[str]:
        """A sentence on the thresholds that should keep a precision or a recall."""
        aimed = [one for one in self.labels if one.target is not None]
        if not aimed:
            return []
        first, lacking = aimed[0], [one.name for one in aimed if not one.promised]
        says = f"--target-{first.aim} {first.target:g}: each label has a threshold, chosen on {self.set_on}"
        if not lacking:
            return [f"{says}, that promises it"]
        if self.selected_on:
            return [f"{says}; this is {NO_PROMISE}"]
        return [f"{says}; for {listed(lacking)} it is not a promise: too few images, or too often wrong"]

    def _of_precision(self, p: PrecisionThreshold, task: TaskName) -> str:
        if p.share_answered == 0:
            return f"--target-precision {p.target:g}: even the surest of {p.n} images ({self.set_on}) are not right that often"
        then = "go up the tree" if task == "nested" else "are marked unsure"
        says = (
            f"--target-precision {p.target:g}: answers below {p.min_confidence:.3f} {then}; of {p.n} images "
            f"({self.set_on}) {p.share_answered:.1%} are answered, and {p.precision:.1%} of these answers are right"
        )
        if p.promised:
            return says
        if self.selected_on:
            return f"{says}; this is {NO_PROMISE}"
        needed = images_needed(p.target)
        why = f"that takes at least {needed} answers without a mistake" if p.n < needed else "confident answers are often wrong"
        return f"{says}; this is not a promise: {why}"

    def _of_sets(self, c: ConformalThreshold, task: TaskName) -> str:
        if c.min_probability == 0:
            return f"--conformal {c.coverage:g}: {c.n} images are too few; every set contains all classes"
        what = "labels" if task == "multi-label" else "classes"
        says = f"--conformal {c.coverage:g}: sets of {c.mean_size:.2f} {what} on average ({c.n} images, {self.set_on})"
        return says if self.sets_are_promised else f"{says}; this is {NO_PROMISE}"


def decide(fitted: Fitted) -> Decisions:
    """Thresholds from the answers for images that the model was not trained on."""
    held_out, settings = fitted.held_out, fitted.settings
    if held_out is None:
        return Decisions()
    known, groups = fitted.dataset.labels[held_out.indices], fitted.scanned.groups[held_out.indices]
    precision = conformal = None
    task = fitted.task
    if settings.target_precision and task.has_one_answer:
        precision = precision_threshold(held_out.probabilities, known, settings.target_precision, groups, fitted.scanned.task)
        if held_out.selected_on:
            precision = precision.model_copy(update={"promised": False})
    if settings.conformal and task.has_one_answer:
        conformal = conformal_threshold(held_out.probabilities, known, settings.conformal, groups, task)
    elif settings.conformal:
        conformal = risk_threshold(held_out.probabilities, known, settings.conformal, groups)
    return Decisions(fitted.set_on(held_out), held_out.split, held_out.selected_on, precision, conformal, fitted.thresholds)


def calibration_of(
    answers: SplitAnswers, labels: np.ndarray, fitted_on: str, task: LearningTask = SINGLE_LABEL
) -> Calibration | None:
    """Log loss and ECE of some answers before and after the temperature; None if there is no temperature."""
    if answers.uncalibrated is None:
        return None
    calibrated = answers.probabilities if answers.calibrated_apart is None else answers.calibrated_apart
    both = [task.one_by_one(found, labels[answers.indices]) for found in (answers.uncalibrated, calibrated)]
    losses = [float(log_losses(probabilities, known).mean()) for probabilities, known in both]
    errors = [expected_calibration_error(probabilities, known) for probabilities, known in both]
    by_chance = ece_by_chance(both[1][0])
    return Calibration(
        temperature=answers.temperature,
        fitted_on=fitted_on,
        log_loss=BeforeAndAfter(before=losses[0], after=losses[1]),
        ece=CalibrationError(before=errors[0], after=errors[1], by_chance=by_chance),
    )
