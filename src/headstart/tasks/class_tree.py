"""Classes as the leaves of a tree, by their names: `animals/insects/bees`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import DataError

SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class ClassTree:
    """The nodes of the tree, the root left out, with the classes below each."""

    nodes: tuple[str, ...]  # the name of a node is the path to it; those nearer to the root come first
    depths: np.ndarray  # (n_nodes,) int64, 1 for the children of the root
    below: np.ndarray  # (n_nodes, n_classes) bool: the classes at or below each node
    # (n_classes, n_levels) int64: the nodes from the root's child down to each class; where levels are left, the class again
    above: np.ndarray

    @classmethod
    def of(cls, classes: Sequence[str]) -> "ClassTree":
        """The tree of the classes, in their order. Raises DataError if one is below another."""
        paths = [tuple(name.split(SEPARATOR)) for name in classes]
        inner = {path[:depth] for path in paths for depth in range(1, len(path))}
        for path in paths:
            if path in inner:
                raise DataError(
                    f"some images are of {SEPARATOR.join(path)!r}, others of classes below it",
                    hint="label each image down to the last level, or move these to a class of their own, such as other",
                )
        in_turn = dict.fromkeys(path[:depth] for path in paths for depth in range(1, len(path) + 1))
        number = {node: i for i, node in enumerate(sorted(in_turn, key=len))}
        n_levels = max(map(len, paths))
        above = np.array([[number[path[:depth]] for depth in range(1, n_levels + 1)] for path in paths])
        below = np.zeros((len(number), len(paths)), bool)
        below[above.ravel(), np.repeat(np.arange(len(paths)), n_levels)] = True
        return cls(tuple(map(SEPARATOR.join, number)), np.array([len(node) for node in number]), below, above)

    @property
    def n_levels(self) -> int:
        """The depth of the deepest class."""
        return self.above.shape[1]

    def at_depth(self, depth: int) -> np.ndarray:
        """(n_classes,) int64: the node at this depth above each class, or the class itself where it is nearer to the root."""
        return self.above[:, depth - 1]

    def distances(self) -> np.ndarray:
        """(n_classes, n_classes) int64: the number of steps along the tree from one class to another."""
        shared = self.below.astype(np.int64).T @ self.below.astype(np.int64)  # how many nodes two classes have in common
        depth = np.diag(shared)
        return np.asarray(depth[:, None] + depth[None, :] - 2 * shared)

    def probabilities(self, of_classes: np.ndarray) -> np.ndarray:
        """(n, n_classes) -> (n, n_nodes) float64: the sum of the classes at or below each node."""
        return np.asarray(of_classes @ self.below.T.astype(np.float64))
