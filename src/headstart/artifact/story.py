"""What the numbers mean for the owner of the images, in sentences: how certain, what could be wrong, what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.evaluation.calibration import Calibration
from headstart.evaluation.cross_validation import CrossValidation
from headstart.evaluation.intervals import TOO_FEW, TOO_FEW_GROUPS, too_few
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation, are_uneven

WEAK_RECALL = 0.1  # a class is named if its recall is this far below the balanced accuracy
WELL_CALIBRATED = 0.03  # ECE up to which probabilities can be taken at face value
SHOWN_IMAGES = 5


@dataclass(frozen=True, slots=True)
class StoryFacts:
    """What the story is made from."""

    evaluation: Evaluation
    without_leaks: Evaluation | None
    calibration: Calibration | None
    cross_validation: CrossValidation | None
    curve: LearningCurve | None
    doubts: tuple[str, ...]  # what the checks and the run itself found
    surest_mistakes: tuple[str, ...]  # paths within the data set, the most confident first
    counts: Sequence[int]  # training images of each class


@dataclass(frozen=True, slots=True)
class Story:
    """The three parts that follow the claim."""

    certainty: tuple[str, ...]
    doubts: tuple[str, ...]
    next_steps: tuple[str, ...]


def tell(evidence: StoryFacts) -> Story:
    """The story for a reader who is no statistician."""
    return Story(tuple(_certainty(evidence)), tuple(_doubts(evidence)), tuple(_next_steps(evidence)))


def weak_classes(evaluation: Evaluation) -> list[str]:
    """A sentence for each of the three classes with the lowest recall, if that is far below the others."""
    far_below = evaluation.balanced_accuracy - WEAK_RECALL
    weak = [c for c in evaluation.per_class if c.recall is not None and c.recall < far_below and c.n > 1]
    weak.sort(key=lambda c: c.recall or 0.0)
    return [f"Of the {c.n} images of {c.name!r} only {c.recall:.0%} are recognised." for c in weak[:3]]


def _certainty(evidence: StoryFacts) -> list[str]:
    evaluation = evidence.evaluation
    honest = evidence.without_leaks or evaluation
    low, high = honest.selection_corrected.accuracy_ci95 if honest.selection_corrected else honest.accuracy_ci95
    said = []
    few = too_few(honest.n, honest.n_groups)
    if honest.leaked or honest.unclear:
        are = "are" if honest.leaked else "may be"
        said.append(
            f"How many new images would be classified correctly is not known: the images measured on {are} in train as well."
        )
    elif few == "images":
        said.append(f"{honest.n} images are too few to say how certain this is: at least {TOO_FEW} are needed.")
    elif few == "groups":
        said.append(_of_few_groups(honest))
    else:
        said.append(
            f"Of 100 new images like these, expect between {100 * low:.0f} and {100 * high:.0f} to "
            f"{'have all their labels right' if honest.label_sets else 'be classified correctly'}. "
            f"This is the 95 % interval from {honest.n} images."
        )
    if honest.grades and honest.grades.mean_absolute_error_ci95 and few is None:
        nearest, farthest = honest.grades.mean_absolute_error_ci95
        said.append(f"Answers to new images like these are {nearest:.2f} to {farthest:.2f} grades off on average.")
    if evidence.cross_validation:
        said.append(evidence.cross_validation.sentence)
    if evidence.calibration:
        said.append(_of_probabilities(evidence.calibration, evaluation.n))
    return said


def _of_few_groups(evaluation: Evaluation) -> str:
    return (
        f"The {evaluation.n} images are of {evaluation.n_groups} unrelated groups, too few groups to say how certain this is: "
        f"at least {TOO_FEW_GROUPS} are needed, however many images there are of each."
    )


def _of_probabilities(calibration: Calibration, n: int) -> str:
    error, chance = calibration.ece.after, calibration.ece.by_chance
    measured = f"confidence and accuracy differ by {100 * error:.1f} points on average"
    measured += _before(calibration)
    if n < TOO_FEW:
        return f"{n} images are too few to say whether the probabilities can be taken at face value."
    if error <= WELL_CALIBRATED:
        return f"The probabilities can be taken at face value: {measured}."
    if error <= chance:
        by_chance = f"with {n} images chance alone gives {100 * chance:.1f}"
        return f"Nothing suggests that the probabilities are off: {measured}; {by_chance}."
    return f"Do not take the probabilities at face value: {measured}."


def _before(calibration: Calibration) -> str:
    if calibration.temperature == 1:
        return ""
    return f" ({100 * calibration.ece.before:.1f} before they were corrected by a temperature of {calibration.temperature:.2f})"


def _doubts(evidence: StoryFacts) -> list[str]:
    evaluation = evidence.evaluation
    said = [*evidence.doubts, *weak_classes(evaluation)]
    if are_uneven(evidence.counts) and not evaluation.label_sets:
        said.append(
            f"The classes are uneven ({min(evidence.counts)} to {max(evidence.counts)} training images): look at the balanced "
            f"accuracy ({evaluation.balanced_accuracy:.1%}), which gives every class the same weight."
        )
    return said


def _next_steps(evidence: StoryFacts) -> list[str]:
    steps = []
    if evidence.surest_mistakes:
        shown = ", ".join(evidence.surest_mistakes[:SHOWN_IMAGES])
        steps.append(f"Look at the most confident mistakes first, because a wrong label looks like one: {shown}.")
    steps.append("Run headstart audit on the images: it shows likely wrong labels, twins and strays.")
    if evidence.curve:
        steps.append(evidence.curve.sentence)
    if are_uneven(evidence.counts) and not evidence.evaluation.label_sets:
        steps.append("If the small classes matter as much as the large ones, train with --balance.")
    if evidence.evaluation.selected_on:
        steps.append("Keep some images for --test: show others only a number from images that nothing was chosen on.")
    return steps
