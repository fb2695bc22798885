"""What a run whose answers are numbers reports."""

from dataclasses import dataclass

import numpy as np

from headstart.artifact.number_words import intervals_in_words
from headstart.data.shown_paths import folder_of
from headstart.data.wording import counted, in_digits
from headstart.evaluation.number_evaluation import NumberEvaluation, evaluate_numbers
from headstart.evaluation.number_intervals import NumberIntervals, number_intervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.record.account import IMAGES_OF, audit_notes, choice_notes, counted_findings, view_notes

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
    def reported(self) -> NumberEvaluation | None:
        """The evaluation that is reported first."""
        return self.evaluations[0] if self.evaluations else None


def number_account_of(fitted: Fitted) -> NumberAccount:
    """The account of a fit, which may have no answers."""
    split, labels = fitted.split, fitted.dataset.labels
    seen = NumbersSeen.of(labels[np.concatenate([split.train, split.val]) if fitted.refit else split.train])
    decisions = _intervals_of(fitted)
    evaluations = tuple(_evaluated(fitted, answers, seen, decisions) for answers in fitted.answers)
    clean = _clean(fitted, seen, decisions) if evaluations else None
    first = _leak_notes(fitted, evaluations[0], clean) if evaluations else ()
    of_intervals = _of_intervals(fitted, decisions)
    remarks = (
        *choice_notes(fitted),
        *view_notes(fitted),
        *fitted.dataset.notes,
        *fitted.notes,
        *_always_the_same(seen),
        *_held_out_notes(fitted, evaluations),
        *of_intervals,
    )
    return NumberAccount(
        seen,
        decisions,
        evaluations,
        clean,
        first + audit_notes(fitted.checked, folder_of(fitted.dataset)),
        remarks,
        first + counted_findings(fitted.checked) + remarks[: len(remarks) - len(of_intervals)],
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
    words = held_out.in_words()
    if held_out.split == "cv" and fitted.refit:
        words = words.replace("train", "train and val")
    return PromisedIntervals(intervals, words, held_out.split, not held_out.selected_on)


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


def _held_out_notes(fitted: Fitted, evaluations: tuple[NumberEvaluation, ...]) -> tuple[str, ...]:
    notes = []
    if fitted.split.val_from == "train" and fitted.split.val.size:
        notes.append(f"val is {counted(len(fitted.split.val), 'image')} split off from train, with numbers of all sizes")
    if fitted.interrupted:
        notes.append(f"interrupted: epoch {fitted.best_epoch}, the best so far, is kept")
    if fitted.refit and evaluations and evaluations[0].split != "test":
        notes.append("refit: the saved model was trained on train and val; the error is that of the model before refitting")
    return tuple(notes)


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
