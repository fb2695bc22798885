"""Splits of images with several labels: every part has its share of each label, and groups stay together."""

from collections.abc import Sequence

import numpy as np

from headstart.data.label_sets import HAS


def dealt_by_labels(
    labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int, in_first: np.ndarray | None = None
) -> np.ndarray:
    """(n,) int64: the part of each image, where part i gets about `shares[i]` of the images of every label, no group divided.

    `labels` is (n, n_labels) int8 (see label_sets.py); images without any label count as one more label. Groups with an image
    that is `in_first`, (n,) bool, are in part 0. Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011), with groups
    in place of examples: the label of which the fewest groups are left is dealt first, its largest groups first, each to the
    part that lacks the most images of it, then to the one that lacks the most images at all.
    """
    has = np.column_stack([labels == HAS, ~(labels == HAS).any(axis=1)])
    group_of = np.unique(groups, return_inverse=True)[1]
    n_groups = int(group_of.max(initial=-1)) + 1
    counts = np.zeros((n_groups, has.shape[1]), np.int64)
    np.add.at(counts, group_of, has)
    sizes = np.bincount(group_of, minlength=n_groups)
    rng = np.random.default_rng(seed)
    chance = rng.permutation(n_groups)  # which of equal groups comes first
    lacking = np.outer(shares, counts.sum(axis=0)).astype(np.float64)  # (n_parts, n_labels): images that a part still wants
    lacking_at_all = np.array(shares, np.float64) * len(labels)
    part_of = np.full(n_groups, -1, np.int64)

    def put(group: int, part: int) -> None:
        part_of[group] = part
        lacking[part] -= counts[group]
        lacking_at_all[part] -= sizes[group]

    if in_first is not None:
        for group in np.unique(group_of[in_first]).tolist():
            put(group, 0)
    while (part_of < 0).any():
        open_groups = np.flatnonzero(part_of < 0)
        n_with = (counts[open_groups] > 0).sum(axis=0)
        label = int(np.where(n_with > 0, n_with, n_groups + 1).argmin())
        members = open_groups[counts[open_groups, label] > 0]
        for group in members[np.lexsort((chance[members], -counts[members, label]))].tolist():
            best = np.flatnonzero(lacking[:, label] >= lacking[:, label].max() - 1e-9)
            put(group, int(best[lacking_at_all[best].argmax()]))
    return part_of[group_of]
