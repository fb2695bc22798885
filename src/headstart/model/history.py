"""The record of an epoch."""

from headstart.schema import Count, NotNegative, Schema, Share


class Epoch(Schema):
    """One row of history.csv. Epoch 0 is the fitted head before any step."""

    epoch: Count
    lr: NotNegative  # the body's learning rate in the epoch's last step
    train_loss: NotNegative  # mean cross-entropy of the augmented images during training, without label smoothing
    train_accuracy: Share
    val_loss: NotNegative | None  # None: trained without a val split
    val_accuracy: Share | None
    seconds: NotNegative
