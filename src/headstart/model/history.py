"""What is recorded of each epoch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of history.csv. Epoch 0 is the fitted head before any step."""

    epoch: int
    lr: float  # the body's learning rate in the epoch's last step
    train_loss: float  # mean cross-entropy of the augmented images while training went on, labels not smoothed
    train_accuracy: float
    val_loss: float | None  # None: trained without a val split
    val_accuracy: float | None
    seconds: float
