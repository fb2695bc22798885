"""The features by which images are compared with each other: of many images in short."""

import numpy as np

from headstart.audit.random_projection import RandomProjection
from headstart.model.features_on_disk import Features

# Features of more images than MANY are projected to SHORT random directions: those of 500,000 images are 2.6 GB, and the checks
# copy them. Cosines near 0.9 are then off by 0.012, those of copies by less.
MANY, SHORT = 20_000, 256
MEASURED = 2_000  # images that the spread of features is measured on


def are_many(n_images: int) -> bool:
    """Whether so many images are compared in short, and by parts."""
    return n_images > MANY


def shortening(features: Features) -> RandomProjection | None:
    """What makes (n, n_features) float32 short, with nearly the same cosines; None if they are few, or short already."""
    n, n_features = features.shape
    if not are_many(n) or n_features <= SHORT:
        return None
    return RandomProjection.of(features[:: max(1, n // MEASURED)], SHORT, np.random.default_rng(0))


def comparable(features: Features) -> np.ndarray:
    """(n, n_features) float32 -> (n, n_features) float32, or (n, SHORT) of many images, with nearly the same cosines."""
    projection = shortening(features)
    if projection is None:
        return features if isinstance(features, np.ndarray) else features[:]
    return projection.of_rows(features, np.arange(len(features)))
