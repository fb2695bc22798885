"""What the checks use: facts, features, twins, and a model's predictions for images it was not fitted on."""

from dataclasses import dataclass

import numpy as np

from headstart.audit.twins import Twins
from headstart.data.dataset import Dataset
from headstart.data.facts import ImageFacts
from headstart.model.features_on_disk import Features


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about a data set, image by image in the order of `dataset.images`."""

    dataset: Dataset
    facts: tuple[ImageFacts, ...]
    vectors: Features  # (n_images, n_features) float32
    twins: Twins
    # (n_images, n_classes) float64; NaN for an image that no fold can hold out; None if there are no folds
    out_of_fold: np.ndarray | None


def robust_z(values: np.ndarray) -> np.ndarray:
    """How many standard deviations (n,) values lie above their median, with a deviation that ignores outliers."""
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))  # for a normal distribution, its standard deviation
    return (values - median) / max(float(spread), 1e-9)
