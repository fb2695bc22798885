"""How good predictions are: accuracy with its interval, macro-F1, log loss, calibration, and the same class by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.intervals import wilson_interval

ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against the others. Without images of it recall and F1 mean nothing and are None."""

    name: str
    n: int
    precision: float | None  # None: never predicted
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is reported of a model on one split."""

    split: str  # "val", "test", "cv" or "all"
    n: int
    selected_on: bool  # whether anything (the best epoch) was chosen by these very images
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float  # mean recall of the classes present
    macro_f1: float  # over the classes present
    log_loss: float  # nats an image
    ece: float  # expected calibration error of the predicted class, 15 bins of equal size
    per_class: tuple[ClassMetrics, ...]
    confusion: np.ndarray  # (n_classes, n_classes) int64: rows are true, columns predicted

    def as_json(self) -> dict[str, Any]:
        """The evaluation as metrics.json holds it."""
        return {
            "split": self.split,
            "n": self.n,
            "selected_on": self.selected_on,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "ece": self.ece,
            "per_class": [
                {"class": c.name, "n": c.n, "precision": c.precision, "recall": c.recall, "f1": c.f1} for c in self.per_class
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate_predictions(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, split: str, selected_on: bool = False
) -> Evaluation:
    """Metrics of (n, n_classes) probabilities against (n,) labels in 0 .. n_classes - 1; n is at least 1."""
    from sklearn import metrics  # takes most of a second, which `train` spends on something else meanwhile

    indices = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    n_right = int((predicted == labels).sum())
    precision, recall, f1, counts = metrics.precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    ever_predicted = set(predicted.tolist())
    per_class = tuple(
        ClassMetrics(
            name=name,
            n=int(counts[i]),
            precision=float(precision[i]) if i in ever_predicted else None,
            recall=float(recall[i]) if counts[i] else None,
            f1=float(f1[i]) if counts[i] else None,
        )
        for i, name in enumerate(classes)
    )
    return Evaluation(
        split=split,
        n=len(labels),
        selected_on=selected_on,
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        accuracy_ci95=wilson_interval(n_right, len(labels)),
        balanced_accuracy=float(recall[present].mean()),
        macro_f1=float(f1[present].mean()),
        log_loss=float(metrics.log_loss(labels, probabilities, labels=indices)),
        ece=expected_calibration_error(probabilities, labels),
        per_class=per_class,
        confusion=metrics.confusion_matrix(labels, predicted, labels=indices),
    )


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = ECE_BINS) -> float:
    """Mean distance between how sure the predicted class was and how often it was right, over bins of equal size.

    Naeini et al. 2015 with the equal-mass bins of Nguyen and O'Connor 2015: every bin says as much as any other.
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(n_bins, len(order)))
    return float(sum(abs(confidence[b].mean() - right[b].mean()) * len(b) for b in bins) / len(order))
