"""Metrics of predictions: accuracy with its interval, macro-F1, log loss, calibration, and metrics of each class."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from headstart.evaluation.calibration import expected_calibration_error
from headstart.evaluation.grade_metrics import GradeMetrics, grade_metrics
from headstart.evaluation.intervals import mean_interval, share_interval, too_few
from headstart.evaluation.likeness import design_effect
from headstart.evaluation.resampling import ResampledF1, resampled_f1
from headstart.evaluation.selection import Corrected
from headstart.evaluation.set_metrics import LabelSetMetrics
from headstart.evaluation.tree_metrics import TreeMetrics, tree_metrics
from headstart.schema import Count, Interval, Name, NotNegative, Positive, Schema, Share, ShareInterval
from headstart.tasks.nested_classes import NestedClasses
from headstart.tasks.ordered_grades import OrderedGrades
from headstart.tasks.probabilities import log_losses
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

# Ratio of class sizes above which reports and audits call the classes uneven. At 3 to 1, a model of two classes that always
# predicts the larger one is right 75 % of the time, halfway between guessing and certainty.
UNEVEN = 3.0


class ClassMetrics(Schema):
    """Metrics of one class against the others. Recall and F1 are None if the class has no images."""

    name: Name = Field(alias="class")
    n: Count
    precision: Share | None  # None: never predicted
    precision_ci95: ShareInterval | None = None  # None: too few images or groups
    recall: Share | None
    recall_ci95: ShareInterval | None = None
    f1: Share | None
    f1_ci95: ShareInterval | None = None


class EvaluationFrame(Schema):
    """What is said of the images that a model is measured on, whatever its answers are."""

    split: Literal["val", "test", "cv", "all"]
    n: Positive
    n_groups: Positive  # unrelated groups among the images; n if each image is its own group
    selected_on: bool  # whether anything (the best epoch, the views) was chosen on these images or some of them
    views_chosen_on: Count = 0  # how many of them had a part in the choice of the views
    leaked: Count = 0  # images with a twin, or another image of their group, among those that the model was trained on
    unclear: Count = 0  # images of which it cannot be told whether they are copies of those, or only alike


class Evaluation(EvaluationFrame):
    """The reported metrics of a model on one split."""

    accuracy: Share
    accuracy_ci95: ShareInterval
    # The accuracy without the optimism of selection, if anything was selected on these images.
    selection_corrected: Corrected | None = None
    balanced_accuracy: Share  # mean recall of the classes present
    balanced_accuracy_ci95: ShareInterval | None = None  # None: too few images or groups
    macro_f1: Share  # over the classes present
    macro_f1_ci95: ShareInterval | None = None
    log_loss: NotNegative  # nats per image
    log_loss_ci95: Interval | None = None
    top5_accuracy: Share | None = None  # None for ten classes or fewer, where it means little
    ece: Share  # expected calibration error of the predicted class, 15 bins of equal size
    grades: GradeMetrics | None = None  # None unless the classes are grades in an order
    tree: TreeMetrics | None = None  # None unless the classes are the leaves of a tree
    label_sets: LabelSetMetrics | None = None  # None unless an image has any number of labels
    per_class: tuple[ClassMetrics, ...]
    # n_classes rows of n_classes: rows are true, columns predicted; none for several labels
    confusion: tuple[tuple[Count, ...], ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        n_classes = len(self.per_class)
        if len({c.name for c in self.per_class}) < n_classes:
            raise ValueError("a class appears twice in per_class")
        if self.label_sets is not None:
            if len(self.label_sets.per_label) != n_classes:
                raise ValueError("label_sets must have an entry for each class in per_class")
        elif len(self.confusion) != n_classes or any(len(row) != n_classes for row in self.confusion):
            raise ValueError("confusion must have one row and one column for each class in per_class")
        return self

    @property
    def epoch_chosen_on(self) -> bool:
        """Whether the best epoch was chosen on these images."""
        return self.selected_on and (not self.views_chosen_on or self.selection_corrected is not None)

    @property
    def is_uneven(self) -> bool:
        """Whether the accuracy says little about the small classes."""
        return self.label_sets is None and are_uneven([c.n for c in self.per_class if c.n])


def are_uneven(counts: Sequence[int]) -> bool:
    """Whether one class is so much larger than another that the accuracy hides the small ones."""
    return max(counts) > UNEVEN * min(counts)


def evaluate_predictions(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    split: Literal["val", "test", "cv", "all"],
    groups: np.ndarray | None = None,
    selected_on: bool = False,
    views_chosen_on: int = 0,
    with_loss_interval: bool = True,
    task: LearningTask = SINGLE_LABEL,
) -> Evaluation:
    """Metrics of (n, n_classes) probabilities against (n,) labels in 0 .. n_classes - 1; n is at least 1.

    The answers judged are those that the `task` makes of the probabilities.

    Intervals take into account that images of one of the (n,) `groups` are related. `views_chosen_on` is how many of the images
    had a part in the choice of the views; if any had, something was selected on these images. The interval of the log loss is
    bootstrapped, which takes most of the time: it can be left out.
    """
    n_classes = len(classes)
    predicted = task.decide(probabilities)
    right = predicted == labels
    confusion = np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    counts = confusion.sum(axis=1)
    present = np.flatnonzero(counts)
    effects = np.ones(n_classes)
    effects[present] = [design_effect(right[labels == i], _those(groups, labels == i)) for i in present]
    n_groups = _count_groups(groups, np.ones(len(labels), bool))
    enough = not too_few(len(labels), n_groups)
    resampled = resampled_f1(confusion, effects) if enough else None
    per_class = _per_class(classes, confusion, right, labels, predicted, groups, resampled)
    recalls = [c.recall for c in per_class if c.recall is not None]
    f1s = [c.f1 for c in per_class if c.f1 is not None]
    losses = log_losses(probabilities, labels)
    better = (probabilities > probabilities[np.arange(len(labels)), labels, None]).sum(axis=1)  # classes above the true one
    return Evaluation(
        split=split,
        n=len(labels),
        n_groups=n_groups,
        selected_on=selected_on or views_chosen_on > 0,
        views_chosen_on=views_chosen_on,
        accuracy=float(right.mean()),
        accuracy_ci95=share_interval(right, groups),
        balanced_accuracy=float(np.mean(recalls)),
        balanced_accuracy_ci95=resampled.balanced_accuracy_ci95 if resampled else None,
        macro_f1=float(np.mean(f1s)),
        macro_f1_ci95=resampled.macro_f1_ci95 if resampled else None,
        log_loss=float(losses.mean()),
        log_loss_ci95=mean_interval(losses, groups) if enough and with_loss_interval else None,
        top5_accuracy=float((better < 5).mean()) if n_classes > 10 else None,
        ece=expected_calibration_error(probabilities, labels),
        grades=grade_metrics(predicted, labels, confusion, effects, groups, enough=enough)
        if isinstance(task, OrderedGrades)
        else None,
        tree=tree_metrics(task.tree, predicted, labels, groups, enough=enough) if isinstance(task, NestedClasses) else None,
        per_class=per_class,
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def _per_class(
    classes: Sequence[str],
    confusion: np.ndarray,
    right: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray | None,
    resampled: ResampledF1 | None,
) -> tuple[ClassMetrics, ...]:
    hits, counts, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(answered, 1), hits / np.maximum(counts, 1)
    f1 = 2 * hits / np.maximum(counts + answered, 1)
    return tuple(
        ClassMetrics(
            name=name,
            n=int(counts[i]),
            precision=float(precision[i]) if answered[i] else None,
            precision_ci95=_share_among(right, groups, predicted == i),
            recall=float(recall[i]) if counts[i] else None,
            recall_ci95=_share_among(right, groups, labels == i),
            f1=float(f1[i]) if counts[i] else None,
            f1_ci95=resampled.f1_ci95[i] if resampled and _are_enough(groups, labels == i) else None,
        )
        for i, name in enumerate(classes)
    )


def _share_among(right: np.ndarray, groups: np.ndarray | None, members: np.ndarray) -> tuple[float, float] | None:
    """The interval of the share that is right among `members`; None if there are too few."""
    return share_interval(right[members], _those(groups, members)) if _are_enough(groups, members) else None


def _are_enough(groups: np.ndarray | None, members: np.ndarray) -> bool:
    return not too_few(int(members.sum()), _count_groups(groups, members))


def _count_groups(groups: np.ndarray | None, members: np.ndarray) -> int:
    return int(members.sum()) if groups is None else len(np.unique(groups[members]))


def _those(groups: np.ndarray | None, members: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups[members]
