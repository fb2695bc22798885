"""The losses that training makes small, by the kind of answer."""

from abc import ABC, abstractmethod

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from headstart.data.label_sets import HAS, NOT_KNOWN
from headstart.tasks.one_number import CLOSE
from headstart.tasks.several_labels import HALF
from headstart.tasks.task import LearningTask, Link


class TrainingLoss(ABC):
    """The loss of a task on the device that trains; the same as the task's own."""

    @abstractmethod
    def of(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """The mean loss of (n, n_classes) logits, in nats; with label `smoothing` (Szegedy et al. 2016)."""

    @abstractmethod
    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n,) bool: which images are answered rightly."""


class OneClassLoss(TrainingLoss):
    """Cross-entropy for (n,) int64 targets."""

    def of(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        return cross_entropy(logits, targets, label_smoothing=smoothing)

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return logits.argmax(dim=1) == targets


class LabelsLoss(TrainingLoss):
    """The mean binary cross-entropy of the labels that are known, for (n, n_labels) int8 targets; 0 where none is."""

    def of(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        known = targets != NOT_KNOWN
        wanted = (targets == HAS).to(logits.dtype) * (1 - smoothing) + smoothing / 2
        losses = binary_cross_entropy_with_logits(logits, wanted, reduction="none") * known
        return (losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)).mean()

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        said = logits.sigmoid() >= HALF
        return ((said == (targets == HAS)) | (targets == NOT_KNOWN)).all(dim=1)


class NumberLoss(TrainingLoss):
    """The mean squared error of (n, 1) outputs for (n,) float32 targets, which have a standard deviation of about 1.

    Squares, because ridge regression, from which training starts, makes these small too, and the mean is what is wanted of an
    answer; the gradient of a step is clipped, so that one wrong label does not decide it, as Huber's loss (1964) would have it.
    """

    def of(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        return mse_loss(logits[:, 0], targets.to(logits.dtype))

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits[:, 0] - targets).abs() < CLOSE


def training_loss(task: LearningTask) -> TrainingLoss:
    """The loss of a task."""
    losses: dict[Link, type[TrainingLoss]] = {"softmax": OneClassLoss, "sigmoid": LabelsLoss, "identity": NumberLoss}
    return losses[task.link]()
