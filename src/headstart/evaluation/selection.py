"""Corrects the accuracy of a chosen epoch for the optimism of choosing it on the images it is reported on."""

import numpy as np

from headstart.evaluation.intervals import DRAWS_AT_ONCE, wilson_interval
from headstart.evaluation.likeness import design_effect
from headstart.schema import Schema, Share, ShareInterval

RESAMPLES = 1000


class Corrected(Schema):
    """An accuracy corrected for the optimism of selection."""

    accuracy: Share
    accuracy_ci95: ShareInterval


def corrected_accuracy(right: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> Corrected:
    """The expected accuracy of the best of several models on new images, and its 95 % interval.

    `right` is (n_models, n) bool: whether each model, such as each epoch of a training run, is right on each image used for
    the selection; n is at least 2. Images are drawn with replacement, by whole groups if they are grouped. Each time, the
    model that is best on the drawn images is measured on the others, and the mean of these accuracies is the estimate
    (bootstrap bias-corrected cross-validation, Tsamardinos et al. 2018). The interval is Wilson's around it. In simulations of
    25 epochs on 153 images with correlations of 0.5 to 0.95, the best epoch looks 1.3 to 3.2 points better than it is; this
    estimate is off by 0.1 to 0.3.
    """
    n = right.shape[1]
    numbers = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    rng = np.random.default_rng(seed)
    values = right.T.astype(np.float32)
    estimates = []
    block = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=size)[:, numbers].astype(np.float32)
        drawn = drawn[(drawn == 0).any(axis=1)]
        left_out = (drawn == 0).astype(np.float32)
        chosen = (drawn @ values).argmax(axis=1)  # the first of equals, as in training
        outside = (left_out @ values) / left_out.sum(axis=1, keepdims=True)
        estimates.append(outside[np.arange(len(chosen)), chosen])
    estimate = float(np.concatenate(estimates).mean())
    effect = design_effect(right[int(right.sum(axis=1).argmax())], groups)
    return Corrected(accuracy=estimate, accuracy_ci95=wilson_interval(estimate * n / effect, n / effect))
