"""How good answers are where an image has any number of labels."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from headstart.data.label_sets import HAS, LACKS, NOT_KNOWN
from headstart.evaluation.calibration import expected_calibration_error
from headstart.evaluation.intervals import mean_interval, share_interval, too_few
from headstart.evaluation.likeness import design_effect
from headstart.evaluation.metrics import ClassMetrics, Evaluation
from headstart.evaluation.precision_recall import average_precision, resampled_average_precisions
from headstart.evaluation.resampling import resampled_f1
from headstart.evaluation.set_metrics import LabelMetrics, LabelSetMetrics
from headstart.tasks.several_labels import SeveralLabels

PER_PAIR = 1e-15  # a probability of 0 counts as this


def evaluate_label_sets(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    task: SeveralLabels,
    *,
    split: Literal["val", "test", "cv", "all"],
    groups: np.ndarray | None = None,
    selected_on: bool = False,
    views_chosen_on: int = 0,
    decided: np.ndarray | None = None,
) -> Evaluation:
    """Metrics of (n, n_labels) probabilities against (n, n_labels) labels; n is at least 1.

    `decided` (n, n_labels) bool are the labels that are said, if they are not those at the thresholds of the task. The accuracy
    is that of whole answers: every label that is known has to be right (subset accuracy). What is not known does not count.
    Intervals take into account that images of one of the (n,) `groups` are related.
    """
    said = task.decide(probabilities) if decided is None else decided
    has, known = labels == HAS, labels != NOT_KNOWN
    right = task.are_right(said, labels)
    n, n_groups = len(labels), len(labels) if groups is None else len(np.unique(groups))
    enough = not too_few(n, n_groups)
    per_class = tuple(
        _of_label(name, said[known[:, i], i], has[known[:, i], i], None if groups is None else groups[known[:, i]])
        for i, name in enumerate(classes)
    )
    losses = -np.log(np.maximum(np.where(has, probabilities, 1 - probabilities), PER_PAIR))
    losses = np.where(known, losses, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    pairs, truth = task.one_by_one(probabilities, labels)
    recalls = [c.recall for c in per_class if c.recall is not None]
    f1s = [c.f1 for c in per_class if c.f1 is not None]
    return Evaluation(
        split=split,
        n=n,
        n_groups=n_groups,
        selected_on=selected_on or views_chosen_on > 0,
        views_chosen_on=views_chosen_on,
        accuracy=float(right.mean()),
        accuracy_ci95=share_interval(right, groups),
        balanced_accuracy=float(np.mean(recalls)) if recalls else 0.0,
        macro_f1=float(np.mean(f1s)) if f1s else 0.0,
        log_loss=float(losses.mean()),
        log_loss_ci95=mean_interval(losses, groups) if enough else None,
        ece=expected_calibration_error(pairs, truth) if len(truth) else 0.0,
        label_sets=_of_sets(probabilities, said, labels, classes, groups, enough=enough),
        per_class=per_class,
        confusion=(),
    )


def _of_label(name: str, said: np.ndarray, has: np.ndarray, groups: np.ndarray | None) -> ClassMetrics:
    """Precision, recall and F1 of a label on the (n,) images of which it is known whether they have it."""
    n_with, n_said, hits = int(has.sum()), int(said.sum()), int((said & has).sum())

    def interval(members: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
        of_members = None if groups is None else groups[members]
        n_groups = int(members.sum()) if of_members is None else len(np.unique(of_members))
        return None if too_few(int(members.sum()), n_groups) else share_interval(values[members], of_members)

    f1_interval = None
    if n_with and not too_few(n_with, n_with if groups is None else len(np.unique(groups[has]))):
        table = np.array([[(~said & ~has).sum(), (said & ~has).sum()], [(~said & has).sum(), hits]])
        effects = np.array([_effect(said == has, has == side, groups) for side in (False, True)])
        f1_interval = resampled_f1(table, effects).f1_ci95[1]
    return ClassMetrics(
        name=name,
        n=n_with,
        precision=hits / n_said if n_said else None,
        precision_ci95=interval(said, has) if n_said else None,
        recall=hits / n_with if n_with else None,
        recall_ci95=interval(has, said) if n_with else None,
        f1=2 * hits / (n_with + n_said) if n_with else None,
        f1_ci95=f1_interval,
    )


def _effect(right: np.ndarray, members: np.ndarray, groups: np.ndarray | None) -> float:
    """The design effect of whether answers are right among `members`."""
    return design_effect(right[members], None if groups is None else groups[members]) if members.any() else 1.0


def _of_sets(
    probabilities: np.ndarray,
    said: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None,
    *,
    enough: bool,
) -> LabelSetMetrics:
    has, known = labels == HAS, labels != NOT_KNOWN
    judged = [i for i in range(len(classes)) if has[:, i].any() and (labels[:, i] == LACKS).any()]
    found = {i: average_precision(probabilities[known[:, i], i], has[known[:, i], i]) for i in judged}
    drawn = resampled_average_precisions(probabilities[:, judged], labels[:, judged], groups) if enough and judged else None
    hits, n_said, n_with = ((part & known).sum(axis=0) for part in (said & has, said, has))
    total = int(n_said.sum() + n_with.sum())
    wrong = ((said != has) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return LabelSetMetrics(
        mean_average_precision=float(np.mean(list(found.values()))) if found else None,
        mean_average_precision_ci95=drawn.mean_ci95 if drawn else None,
        micro_f1=2 * float(hits.sum()) / total if total else 1.0,
        wrong_share=float(wrong.mean()),
        wrong_share_ci95=mean_interval(wrong, groups) if enough else None,
        labels_per_image=float(has.sum(axis=1).mean()),
        labels_per_answer=float(said.sum(axis=1).mean()),
        per_label=tuple(
            LabelMetrics(
                name=name,
                n_known=int(known[:, i].sum()),
                average_precision=found.get(i),
                average_precision_ci95=drawn.ci95[judged.index(i)] if drawn and i in found else None,
            )
            for i, name in enumerate(classes)
        ),
        together=tuple(map(tuple, (has.T.astype(np.int64) @ has.astype(np.int64)).tolist())),
    )
