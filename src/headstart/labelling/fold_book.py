"""Folds that stay as they are while labels are added: what a model says of an image is comparable from one fit to the next."""

import numpy as np


class FoldBook:
    """Deals groups to folds, each to the one with the fewest images of its class, and remembers it."""

    def __init__(self, n_folds: int = 5) -> None:
        self.n_folds = n_folds
        self._fold_of: dict[int, int] = {}  # group -> fold

    def deal(self, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """(n,) int64: the fold of each image, from (n,) labels and (n,) groups; images of a group share a fold."""
        folds = np.array([self._fold_of.get(group, -1) for group in groups.tolist()], np.int64)
        n_classes = int(labels.max(initial=-1)) + 1
        counts = np.zeros((n_classes, self.n_folds), np.int64)
        known = folds >= 0
        np.add.at(counts, (labels[known], folds[known]), 1)
        totals = counts.sum(axis=0)
        for i in np.flatnonzero(~known).tolist():
            label, group = int(labels[i]), int(groups[i])
            fold = self._fold_of.get(group)
            if fold is None:
                fold = int(np.lexsort((totals, counts[label]))[0])
                self._fold_of[group] = fold
            folds[i] = fold
            counts[label, fold] += 1
            totals[fold] += 1
        return folds
