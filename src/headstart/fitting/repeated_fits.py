"""Many probes on parts of the same features: repeated cross-validation and the learning curve."""

from dataclasses import dataclass, replace

import numpy as np

from headstart.data.splits import fold_count, folds
from headstart.evaluation.cross_validation import CrossValidation, cross_validation
from headstart.evaluation.learning_curve import LearningCurve, learning_curve
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.feature_table import FeatureTable
from headstart.fitting.head_fitters import AnyProbe
from headstart.model.head import Head
from headstart.model.probe import CrossValidated
from headstart.progress import Progress
from headstart.settings import TrainSettings

SHARES = (0.12, 0.25, 0.5, 0.75, 1.0)  # of train
FEWEST_IMAGES = 40  # in train; with fewer, a curve says nothing
FEWEST_OF_CLASS = 5  # on average, in half of train; with fewer, a curve says nothing either


@dataclass(frozen=True, slots=True)
class RepeatedCrossValidation:
    """The predictions of cross-validation for each image, and their summary."""

    answers: (
        SplitAnswers  # of the first repeat: the mean of several would be the answer of an ensemble, but a single model is saved
    )
    summary: CrossValidation


def cross_validate_repeatedly(
    table: FeatureTable, rows: np.ndarray, n_folds: int, repeats: int, seed: int, progress: Progress
) -> RepeatedCrossValidation:
    """Stratified, group-safe cross-validation of a probe, with different folds in each repeat.

    The answers are for the images that can be held out.
    """
    found = []
    for repeat in range(repeats):
        found.append(table.cross_validate(rows, n_folds, seed + repeat))
        progress("cross-validating", repeat + 1, repeats)
    judged = rows[found[0].held]  # the same in every repeat
    right = np.stack([_are_right(table, one, judged) for one in found])
    uncalibrated = None if table.balance else found[0].uncalibrated
    answers = SplitAnswers("cv", judged, found[0].probabilities, selected_on=False, uncalibrated=uncalibrated)
    answers = replace(answers, decided=found[0].decided)
    fold = np.stack([one.fold for one in found])
    return RepeatedCrossValidation(answers, cross_validation(right, fold, table.groups[judged]))


def _are_right(table: FeatureTable, found: CrossValidated, rows: np.ndarray) -> np.ndarray:
    """(n_rows,) bool: whether the answers to some rows are right."""
    decided = table.task.decide(found.probabilities) if found.decided is None else found.decided
    return table.task.are_right(decided, table.labels[rows])


def measure_learning_curve(
    table: FeatureTable,
    train: np.ndarray,
    reported: SplitAnswers,
    probe: AnyProbe,
    settings: TrainSettings,
    progress: Progress,
    *,
    head_of_all: Head | None = None,
) -> LearningCurve | None:
    """The accuracy of probes fitted on 12, 25, 50, 75 and 100 % of train on the reported images; None if train is too small.

    Smaller parts are contained in larger ones, and each has the class shares of train. With cross-validation, the parts are
    taken from the images that each fold is fitted on. All use the strength of the `probe` of all of train: choosing it for each
    part takes three times as long. `head_of_all` is the head fitted on all of train at that strength, if it already exists.
    """
    if len(train) < max(FEWEST_IMAGES, 2 * FEWEST_OF_CLASS * table.n_classes):
        return None
    if reported.split == "cv":
        labels, groups = table.labels[train], table.groups[train]
        numbers = folds(labels, groups, fold_count(labels, groups, settings.folds_and_repeats[0]), settings.seed)
        pairs = [(train[fit], train[held]) for fit, held in numbers]
    else:
        pairs = [(train, reported.indices)]
    place = np.empty(len(table.labels), np.int64)
    place[reported.indices] = np.arange(len(reported.indices))
    right = np.zeros((len(SHARES), len(reported.indices)), bool)
    n_train = [0] * len(SHARES)
    for number, (fit, held) in enumerate(pairs):
        order = table.drawn(fit, settings.seed)
        for i, share in enumerate(SHARES):
            part = np.sort(order[: max(table.n_classes, round(share * len(fit)))])
            n_train[i] = len(part)  # with cross-validation, of the last fold: sizes differ by an image
            ready = head_of_all if len(part) == len(train) else None
            head = ready or table.fit(part, settings.seed, like=probe).head
            right[i, place[held]] = table.right(head.logits_of(table.vectors, held), held)
            progress("learning curve", number * len(SHARES) + i + 1, len(pairs) * len(SHARES))
    return learning_curve(SHARES, tuple(n_train), right, table.groups[reported.indices])
