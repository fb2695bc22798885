"""How good predictions are: accuracy with its interval, macro-F1, log loss, calibration, and the same class by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.intervals import TOO_FEW, share_interval
from headstart.evaluation.selection import Corrected

ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against the others. Without images of it recall and F1 mean nothing and are None."""

    name: str
    n: int
    precision: float | None  # None: never predicted
    recall: float | None
    f1: float | None
    recall_ci95: tuple[float, float] | None  # None: too few images for one


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is reported of a model on one split."""

    split: str  # "val", "test", "cv" or "all"
    n: int
    n_groups: int  # unrelated groups of images that these are of; n where each is its own
    selected_on: bool  # whether anything (the best epoch) was chosen by these very images
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float  # mean recall of the classes present
    macro_f1: float  # over the classes present
    log_loss: float  # nats an image
    ece: float  # expected calibration error of the predicted class, 15 bins of equal size
    per_class: tuple[ClassMetrics, ...]
    confusion: np.ndarray  # (n_classes, n_classes) int64: rows are true, columns predicted
    corrected: Corrected | None = None  # the accuracy without the optimism of choosing by these images, where that was done

    def as_json(self) -> dict[str, Any]:
        """The evaluation as metrics.json holds it."""
        return {
            "split": self.split,
            "n": self.n,
            "n_groups": self.n_groups,
            "selected_on": self.selected_on,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "selection_corrected": self.corrected
            and {"accuracy": self.corrected.accuracy, "accuracy_ci95": list(self.corrected.accuracy_ci95)},
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "ece": self.ece,
            "per_class": [
                {
                    "class": c.name,
                    "n": c.n,
                    "precision": c.precision,
                    "recall": c.recall,
                    "recall_ci95": c.recall_ci95 and list(c.recall_ci95),
                    "f1": c.f1,
                }
                for c in self.per_class
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate_predictions(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    split: str,
    groups: np.ndarray | None = None,
    selected_on: bool = False,
) -> Evaluation:
    """Metrics of (n, n_classes) probabilities against (n,) labels in 0 .. n_classes - 1; n is at least 1.

    Intervals take it into account that images of one of the (n,) `groups` are alike.
    """
    from sklearn import metrics  # takes most of a second, which `train` spends on something else meanwhile

    indices = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    right = predicted == labels
    precision, recall, f1, counts = metrics.precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    ever_predicted = set(predicted.tolist())
    per_class = tuple(
        ClassMetrics(
            name=name,
            n=int(counts[i]),
            precision=float(precision[i]) if i in ever_predicted else None,
            recall=float(recall[i]) if counts[i] else None,
            f1=float(f1[i]) if counts[i] else None,
            recall_ci95=_recall_interval(right, groups, labels == i),
        )
        for i, name in enumerate(classes)
    )
    return Evaluation(
        split=split,
        n=len(labels),
        n_groups=len(labels) if groups is None else len(np.unique(groups)),
        selected_on=selected_on,
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        accuracy_ci95=share_interval(right, groups),
        balanced_accuracy=float(recall[present].mean()),
        macro_f1=float(f1[present].mean()),
        log_loss=float(metrics.log_loss(labels, probabilities, labels=indices)),
        ece=expected_calibration_error(probabilities, labels),
        per_class=per_class,
        confusion=metrics.confusion_matrix(labels, predicted, labels=indices),
    )


def _recall_interval(right: np.ndarray, groups: np.ndarray | None, members: np.ndarray) -> tuple[float, float] | None:
    if members.sum() < TOO_FEW:
        return None
    return share_interval(right[members], None if groups is None else groups[members])


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = ECE_BINS) -> float:
    """Mean distance between how sure the predicted class was and how often it was right, over bins of equal size.

    Naeini et al. 2015 with the equal-mass bins of Nguyen and O'Connor 2015: every bin says as much as any other.
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(n_bins, len(order)))
    return float(sum(abs(confidence[b].mean() - right[b].mean()) * len(b) for b in bins) / len(order))
