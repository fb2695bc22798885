"""How good predictions are: accuracy with its interval, macro-F1, log loss, calibration, and the same class by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.calibration import expected_calibration_error
from headstart.evaluation.intervals import TOO_FEW, design_effect, mean_interval, share_interval
from headstart.evaluation.probabilities import log_losses
from headstart.evaluation.resampling import resampled_f1
from headstart.evaluation.selection import Corrected

Interval = tuple[float, float]
UNEVEN = 3.0  # times as many images in one class as in another, from which the accuracy hides the small ones


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against the others. Without images of it recall and F1 mean nothing and are None."""

    name: str
    n: int
    precision: float | None  # None: never predicted
    recall: float | None
    f1: float | None
    precision_ci95: Interval | None  # None: too few images for one
    recall_ci95: Interval | None
    f1_ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is reported of a model on one split."""

    split: str  # "val", "test", "cv" or "all"
    n: int
    n_groups: int  # unrelated groups of images that these are of; n where each is its own
    selected_on: bool  # whether anything (the best epoch) was chosen by these very images
    accuracy: float
    accuracy_ci95: Interval
    balanced_accuracy: float  # mean recall of the classes present
    balanced_accuracy_ci95: Interval | None  # None: too few images for one
    macro_f1: float  # over the classes present
    macro_f1_ci95: Interval | None
    log_loss: float  # nats an image
    log_loss_ci95: Interval | None
    top5_accuracy: float | None  # None for ten classes or fewer, where it says little
    ece: float  # expected calibration error of the predicted class, 15 bins of equal size
    per_class: tuple[ClassMetrics, ...]
    confusion: np.ndarray  # (n_classes, n_classes) int64: rows are true, columns predicted
    corrected: Corrected | None = None  # the accuracy without the optimism of choosing by these images, where that was done

    @property
    def is_uneven(self) -> bool:
        """Whether the accuracy says little of the small classes."""
        return are_uneven([c.n for c in self.per_class if c.n])

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
            "balanced_accuracy_ci95": _as_list(self.balanced_accuracy_ci95),
            "macro_f1": self.macro_f1,
            "macro_f1_ci95": _as_list(self.macro_f1_ci95),
            "log_loss": self.log_loss,
            "log_loss_ci95": _as_list(self.log_loss_ci95),
            "top5_accuracy": self.top5_accuracy,
            "ece": self.ece,
            "per_class": [
                {
                    "class": c.name,
                    "n": c.n,
                    "precision": c.precision,
                    "precision_ci95": _as_list(c.precision_ci95),
                    "recall": c.recall,
                    "recall_ci95": _as_list(c.recall_ci95),
                    "f1": c.f1,
                    "f1_ci95": _as_list(c.f1_ci95),
                }
                for c in self.per_class
            ],
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Evaluation":
        """The evaluation that `as_json` gave; intervals that models of the first days do not have are None.

        Raises KeyError, TypeError or ValueError where the values are another's.
        """
        corrected = values.get("selection_corrected")
        return cls(
            split=values["split"],
            n=values["n"],
            n_groups=values.get("n_groups", values["n"]),
            selected_on=values["selected_on"],
            accuracy=values["accuracy"],
            accuracy_ci95=_as_pair(values["accuracy_ci95"]),
            balanced_accuracy=values["balanced_accuracy"],
            balanced_accuracy_ci95=_as_interval(values.get("balanced_accuracy_ci95")),
            macro_f1=values["macro_f1"],
            macro_f1_ci95=_as_interval(values.get("macro_f1_ci95")),
            log_loss=values["log_loss"],
            log_loss_ci95=_as_interval(values.get("log_loss_ci95")),
            top5_accuracy=values.get("top5_accuracy"),
            ece=values["ece"],
            per_class=tuple(
                ClassMetrics(
                    name=c["class"],
                    n=c["n"],
                    precision=c["precision"],
                    recall=c["recall"],
                    f1=c["f1"],
                    precision_ci95=_as_interval(c.get("precision_ci95")),
                    recall_ci95=_as_interval(c.get("recall_ci95")),
                    f1_ci95=_as_interval(c.get("f1_ci95")),
                )
                for c in values["per_class"]
            ),
            confusion=np.array(values["confusion"], np.int64),
            corrected=Corrected(corrected["accuracy"], _as_pair(corrected["accuracy_ci95"])) if corrected else None,
        )


def are_uneven(counts: Sequence[int]) -> bool:
    """Whether one class has so many more images than another that the accuracy hides the small ones."""
    return max(counts) > UNEVEN * min(counts)


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
    n_classes = len(classes)
    predicted = probabilities.argmax(axis=1)
    right = predicted == labels
    confusion = np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    hits, counts, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(answered, 1), hits / np.maximum(counts, 1)
    f1 = 2 * hits / np.maximum(counts + answered, 1)
    present, indices = np.flatnonzero(counts), range(n_classes)
    effects = [design_effect(right[labels == i], _those(groups, labels == i)) if i in present else 1.0 for i in indices]
    resampled = resampled_f1(confusion, np.array(effects)) if len(labels) >= TOO_FEW else None
    per_class = tuple(
        ClassMetrics(
            name=name,
            n=int(counts[i]),
            precision=float(precision[i]) if answered[i] else None,
            recall=float(recall[i]) if counts[i] else None,
            f1=float(f1[i]) if counts[i] else None,
            precision_ci95=_share_among(right, groups, predicted == i),
            recall_ci95=_share_among(right, groups, labels == i),
            f1_ci95=resampled.f1_ci95[i] if resampled and counts[i] >= TOO_FEW else None,
        )
        for i, name in enumerate(classes)
    )
    losses = log_losses(probabilities, labels)
    better = (probabilities > probabilities[np.arange(len(labels)), labels, None]).sum(axis=1)  # classes before the true one
    return Evaluation(
        split=split,
        n=len(labels),
        n_groups=len(labels) if groups is None else len(np.unique(groups)),
        selected_on=selected_on,
        accuracy=float(right.mean()),
        accuracy_ci95=share_interval(right, groups),
        balanced_accuracy=float(recall[present].mean()),
        balanced_accuracy_ci95=resampled.balanced_accuracy_ci95 if resampled else None,
        macro_f1=float(f1[present].mean()),
        macro_f1_ci95=resampled.macro_f1_ci95 if resampled else None,
        log_loss=float(losses.mean()),
        log_loss_ci95=mean_interval(losses, groups) if len(labels) >= TOO_FEW else None,
        top5_accuracy=float((better < 5).mean()) if n_classes > 10 else None,
        ece=expected_calibration_error(probabilities, labels),
        per_class=per_class,
        confusion=confusion,
    )


def _share_among(right: np.ndarray, groups: np.ndarray | None, members: np.ndarray) -> Interval | None:
    """The interval of the share that is right among `members`; None where these are too few."""
    return share_interval(right[members], _those(groups, members)) if members.sum() >= TOO_FEW else None


def _those(groups: np.ndarray | None, members: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups[members]


def _as_list(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _as_interval(values: Sequence[float] | None) -> Interval | None:
    return None if values is None else _as_pair(values)


def _as_pair(values: Sequence[float]) -> Interval:
    low, high = values
    return float(low), float(high)
