"""The answers of a network trained in steps for val: calibrated and, of several labels, with their thresholds."""

from dataclasses import replace

import numpy as np

from headstart.data.splits import Split
from headstart.evaluation.calibration import cross_fitted, one_half, temperature_of
from headstart.evaluation.label_thresholds import LabelThreshold, ThresholdRule, label_thresholds
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.scanned import Scanned
from headstart.model.finetune import TrainedEpochs
from headstart.recipes import TrainingPlan
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask

Thresholded = tuple[SplitAnswers, tuple[LabelThreshold, ...]]  # thresholds of several labels, else none


def answers_of_val(scanned: Scanned, split: Split, tuned: TrainedEpochs, plan: TrainingPlan) -> Thresholded:
    """The val answers at the temperature that is fitted on them, and at temperatures fitted on other images of val; and, of
    several labels, the thresholds that are chosen on them.

    What is reported of val are then the answers at thresholds that were
    chosen on the other half of val.
    """
    rows, task = split.val, scanned.task
    by_epoch = None if plan.balance else tuned.predicted  # balanced: the choice was not made by plain accuracy
    answers = SplitAnswers("val", rows, tuned.probabilities, selected_on=True, by_epoch=by_epoch)
    labels, groups = scanned.dataset.labels[rows], scanned.groups[rows]
    # The classic procedure has no temperature. A balanced model's probabilities assume even classes, which val does not have.
    if plan.network.start == "fitted head" and not plan.balance and not isinstance(task, Numbers):
        logits = task.logits(answers.probabilities)
        temperature = temperature_of(logits, labels, task)
        answers = replace(
            answers,
            probabilities=task.probabilities(logits / temperature),
            uncalibrated=answers.probabilities,
            temperature=temperature,
            calibrated_apart=cross_fitted(logits, labels, groups, plan.seed, task),
        )
    if task.has_one_answer:
        return answers, ()
    return _with_thresholds(answers, labels, groups, scanned, plan.seed)


def _with_thresholds(answers: SplitAnswers, labels: np.ndarray, groups: np.ndarray, scanned: Scanned, seed: int) -> Thresholded:
    settings, names = scanned.settings, scanned.dataset.classes
    rule = ThresholdRule.of(settings.target_precision, settings.target_recall)

    def chosen_on(part: np.ndarray) -> tuple[LabelThreshold, ...]:
        return label_thresholds(answers.probabilities[part], labels[part], names, rule, groups[part], can_promise=False)

    def said_at(thresholds: tuple[LabelThreshold, ...], task: LearningTask) -> np.ndarray:
        return task.with_thresholds([one.threshold for one in thresholds]).decide(answers.probabilities)

    thresholds = chosen_on(np.ones(len(labels), bool))
    decided = said_at(thresholds, scanned.task)
    first = one_half(groups, seed)
    for half in (first, ~first):
        if half.any() and not half.all():
            decided[half] = said_at(chosen_on(~half), scanned.task)[half]
    return replace(answers, decided=decided), thresholds
