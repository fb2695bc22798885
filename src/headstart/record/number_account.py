"""What a run whose answers are numbers reports."""

from dataclasses import dataclass

import numpy as np

from headstart.artifact.number_words import intervals_in_words
from headstart.data.shown_paths import folder_of
from headstart.data.wording import in_digits
from headstart.evaluation.number_evaluation import NumberEvaluation, evaluate_numbers
from headstart.evaluation.number_intervals import NumberIntervals, number_intervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.record.account import IMAGES_OF, audit_notes, counted_findings, remarks_on

USUAL_COVERAGE = 0.9  # of the intervals without --conformal


@dataclass(frozen=True, slots=True)
class PromisedIntervals:
    """The intervals of a model, and the images that they were set on."""

    intervals: NumberIntervals | None = None  # None: too few images
    set_on: str = ""  # in words
    split: str = ""  # "" if there were no images
    promised: bool = True  # not if the best epoch was chosen on the same images


@dataclass(frozen=True, slots=True)
class NumberAccount:
    """The numbers and remarks of a run, before anything is written."""

    seen: NumbersSeen
    decisions: PromisedIntervals
    evaluations: tuple[NumberEvaluation, ...]  # the reported one first; empty if nothing was held out
    without_leaks: NumberEvaluation | None
    doubts: tuple[str, ...]  # what could be wrong with the numbers
    remarks: tuple[str, ...]  # what else the owner should know
    limits: tuple[str, ...]  # the same for recipients of the model, without names of images

    @property
    def reported(self) -> NumberEvaluation:
        """The evaluation that is reported first; every run has one."""
        return self.evaluations[0]


def number_account_of(fitted: Fitted) -> NumberAccount:
    """The account of a fit, which may have no answers."""
    split, labels = fitted.split, fitted.dataset.labels
    seen = NumbersSeen.of(labels[np.concatenate([split.train, split.val]) if fitted.refit else split.train])
    decisions = _intervals_of(fitted)
    evaluations = tuple(_evaluated(fitted, answers, seen, decisions) for answers in fitted.answers)
    reported = evaluations[0] if evaluations else None
    clean = _clean(fitted, seen, decisions) if reported else None
    first = _leak_notes(fitted, reported, clean) if reported else ()
    remarks = _always_the_same(seen) + remarks_on(fitted, reported, "with numbers of all sizes", "error")
    return NumberAccount(
        seen,
        decisions,
        evaluations,
        clean,
        doubts=first + audit_notes(fitted.checked, folder_of(fitted.dataset)),
        remarks=remarks + _of_intervals(fitted, decisions),
        limits=first + counted_findings(fitted.checked) + remarks,
    )


def _always_the_same(seen: NumbersSeen) -> tuple[str, ...]:
    """A note if no two images were left to learn a difference from."""
    if seen.low < seen.high:
        return ()
    return (f"no two images of train have different numbers: the model always answers {in_digits(seen.low)}",)


def _intervals_of(fitted: Fitted) -> PromisedIntervals:
    """Intervals from the answers for images that the model was not trained on."""
    held_out = fitted.held_out
    if held_out is None:
        return PromisedIntervals()
    rows, coverage = held_out.indices, fitted.settings.conformal or USUAL_COVERAGE
    numbers = held_out.probabilities[:, 0]
    intervals = number_intervals(numbers, fitted.dataset.labels[rows], coverage, fitted.scanned.groups[rows])
    return PromisedIntervals(intervals, fitted.set_on(held_out), held_out.split, not held_out.selected_on)


def _evaluated(fitted: Fitted, answers: SplitAnswers, seen: NumbersSeen, decisions: PromisedIntervals) -> NumberEvaluation:
    rows, scanned = answers.indices, fitted.scanned
    evaluation = evaluate_numbers(
        answers.probabilities[:, 0],
        fitted.dataset.labels[rows],
        seen,
        split=answers.split,
        groups=scanned.groups[rows],
        selected_on=answers.selected_on,
        views_chosen_on=int(scanned.compared_on[rows].sum()),
        intervals=decisions.intervals if answers.split != decisions.split else None,
    )
    leaked, unclear = int(fitted.leaked(answers).sum()), int(fitted.unclear(answers).sum())
    return evaluation.model_copy(update={"leaked": leaked, "unclear": unclear})


def _clean(fitted: Fitted, seen: NumbersSeen, decisions: PromisedIntervals) -> NumberEvaluation | None:
    answers = fitted.answers[0]
    clean = ~(fitted.leaked(answers) | fitted.unclear(answers))
    return None if clean.all() or not clean.any() else _evaluated(fitted, answers.only(clean), seen, decisions)


def _leak_notes(fitted: Fitted, reported: NumberEvaluation, clean: NumberEvaluation | None) -> tuple[str, ...]:
    """What has to be known before any number is believed."""
    n = reported.leaked + reported.unclear
    if not n:
        return ()
    has_groups = any(image.group for image in fitted.dataset.images)
    twin = "a twin, or another image of their group, in train" if has_groups else "a twin in train"
    says = (
        f"{n} of the {reported.n} {IMAGES_OF[reported.split]} images have {twin}, or may have one, so the error may be too low"
    )
    if clean is None:
        return (f"{says}; without them no image is left, so how well the model does on new images is not known",)
    error = clean.numbers.mean_absolute_error
    return (f"{says}; on the {clean.n} others the answers are off by {in_digits(error)} on average",)


def _of_intervals(fitted: Fitted, decisions: PromisedIntervals) -> tuple[str, ...]:
    coverage = fitted.settings.conformal or USUAL_COVERAGE
    if decisions.intervals is None:
        return (f"--conformal {coverage:g}: too few unrelated images were held out, so answers have no intervals",)
    says = intervals_in_words(decisions.intervals, decisions.set_on, promised=decisions.promised)
    return (f"--conformal {coverage:g}: {says}",)


def farthest_off(answers: SplitAnswers, labels: np.ndarray) -> list[int]:
    """The places of the answers, the largest error first."""
    errors = np.abs(answers.probabilities[:, 0] - labels[answers.indices])
    return [int(place) for place in np.argsort(-errors, kind="stable")]
