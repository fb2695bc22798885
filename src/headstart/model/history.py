"""The record of an epoch, and of where training was ended by its deadline."""

from collections.abc import Callable

from headstart.schema import Count, NotNegative, Positive, Schema, Share


class Epoch(Schema):
    """One row of history.csv. Epoch 0 is the fitted head before any step."""

    epoch: Count
    lr: NotNegative  # the body's learning rate in the epoch's last step
    train_loss: NotNegative  # mean cross-entropy of the augmented images during training, without label smoothing
    train_accuracy: Share
    val_loss: NotNegative | None  # None: trained without a val split
    val_accuracy: Share | None
    seconds: NotNegative


EpochEnded = Callable[[Epoch], None]  # gets each epoch when it has ended


def unheard(row: Epoch) -> None:
    """An EpochEnded that keeps it to itself."""


class Cut(Schema):
    """Where training was ended because the time was over."""

    epoch: Positive  # the epoch that was ended, or not begun
    steps: Count  # of it that were made; if there are some, the epoch is in the history
    of: Positive  # steps of a whole epoch
