"""The features by which images are compared with each other: of many images in short."""

import numpy as np

from headstart.audit.random_projection import RandomProjection
from headstart.model.features_on_disk import Features

# Features of more images than MANY are projected to SHORT random directions: those of 500,000 images are 2.6 GB, and the checks
# copy them. Cosines near 0.9 are then off by 0.012, those of copies by less.
MANY, SHORT = 20_000, 256
MEASURED = 2_000  # images that the spread of features is measured on


def comparable(features: Features) -> np.ndarray:
    """(n, n_features) float32 -> (n, n_features) float32, or (n, SHORT) of many images, with nearly the same cosines."""
    n, n_features = features.shape
    if n <= MANY or n_features <= SHORT:
        return features if isinstance(features, np.ndarray) else features[:]
    every = max(1, n // MEASURED)
    return RandomProjection.of(features[::every], SHORT, np.random.default_rng(0)).of_rows(features, np.arange(n))
