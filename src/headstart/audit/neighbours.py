"""Nearest neighbours among many images, found by random trees: images far apart are never compared."""

from collections.abc import Iterable, Iterator

import numpy as np

from headstart.threads import map_in_threads

LEAF_IMAGES = 64  # images that are compared with each other, pair by pair
AT_ONCE = 4096  # rows that are projected together: more take longer to copy than to project


def leaves(points: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Parts of 0 .. n - 1 of at most LEAF_IMAGES, from halving at the median along random directions: one random tree.

    Random projections halve the images repeatedly until each part is small (Dasgupta and Freund 2008). Time grows as n log n.
    """
    waiting = [np.arange(len(points))]
    while waiting:
        part = waiting.pop()
        if len(part) <= LEAF_IMAGES:
            yield np.sort(part)
            continue
        # From one image of the part to another: the part spreads along it; a random direction among 1,280 may show nothing.
        one, other = rng.choice(part, 2, replace=False)
        along = _projected(points, part, points[one] - points[other])
        order = np.argpartition(along, len(part) // 2)
        waiting += [part[order[: len(part) // 2]], part[order[len(part) // 2 :]]]


def _projected(points: np.ndarray, rows: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(n_rows,) float32."""
    return np.concatenate([points[rows[start : start + AT_ONCE]] @ direction for start in range(0, len(rows), AT_ONCE)])


def nearest_pairs(
    points: np.ndarray, k: int, n_trees: int, rng: np.random.Generator, apart: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64, first < second: each of (n, n_dims) points with its `k` nearest, as far as the trees show them.

    Points with the same number in `apart` are not each other's neighbours.
    """
    n = len(points)
    found, distance = np.full((n, k), -1), np.full((n, k), np.inf, np.float32)
    trees = (list(leaves(points, rng)) for _ in range(n_trees))  # threads compare while the next one is made
    for of_tree in map_in_threads(lambda tree: _nearest_within(tree, points, k, apart), trees):
        found, distance = nearer((found, distance), of_tree)
    return pairs_of(found, distance)


def nearest_by_one_tree(
    points: np.ndarray, k: int, rng: np.random.Generator, apart: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) int64: the `k` nearest of each point within its leaf, -1 for none; (n, k) float32: their squared distances."""
    return _nearest_within(leaves(points, rng), points, k, apart)


def _nearest_within(
    of_tree: Iterable[np.ndarray], points: np.ndarray, k: int, apart: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    squares = np.einsum("ij,ij->i", points, points)
    found, distance = np.full((len(points), k), -1), np.full((len(points), k), np.inf, np.float32)
    for leaf in of_tree:
        between = squares[leaf][:, None] + squares[leaf][None, :] - 2 * (points[leaf] @ points[leaf].T)
        np.fill_diagonal(between, np.inf)
        if apart is not None:
            between[apart[leaf][:, None] == apart[leaf][None, :]] = np.inf
        some = min(k, len(leaf))
        order = np.argpartition(between, some - 1, axis=1)[:, :some]
        found[leaf, :some], distance[leaf, :some] = leaf[order], np.take_along_axis(between, order, axis=1)
    return found, distance


def pairs_of(found: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first, second) int64, first < second: each point with those found near it, each pair once."""
    n = len(found)
    one, column = np.nonzero(np.isfinite(distance))
    other = found[one, column]
    _, once = np.unique(np.minimum(one, other) * n + np.maximum(one, other), return_index=True)
    return np.minimum(one, other)[once], np.maximum(one, other)[once]


def nearer(some: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of two findings of each point's nearest, and their distances, as many as one of them has; each neighbour once."""
    found, distance = (np.hstack(both) for both in zip(some, others, strict=True))
    order = np.argsort(found, axis=1, kind="stable")
    found, distance = np.take_along_axis(found, order, axis=1), np.take_along_axis(distance, order, axis=1)
    distance[:, 1:][found[:, 1:] == found[:, :-1]] = np.inf
    order = np.argsort(distance, axis=1, kind="stable")[:, : some[0].shape[1]]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(distance, order, axis=1)
