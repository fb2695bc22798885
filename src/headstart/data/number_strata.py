"""Numbers parted into strata, so that splits and folds hold numbers of all sizes."""

import numpy as np

N_STRATA = 10
LEAST = 5  # groups in a stratum, so that each of five folds can have one


def strata_of(numbers: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) int64: the stratum of each image, from 0 for the smallest of (n,) `numbers`.

    Whole groups are parted, in the order of their mean numbers and into strata of equally many groups: each has at least two,
    if there are two, so something can be held out of every stratum. Equal numbers may lie in neighbouring strata.
    """
    group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    means = np.bincount(group_of, weights=numbers) / sizes
    n_strata = max(1, min(N_STRATA, len(sizes) // LEAST))
    stratum = np.empty(len(sizes), np.int64)
    stratum[np.argsort(means, kind="stable")] = np.arange(len(sizes)) * n_strata // len(sizes)
    return stratum[group_of]
