"""The nearest of many points, exactly, by products of matrices in blocks; the same on any number of cores."""

import numpy as np

from headstart.threads import map_in_threads, one_blas_thread

BLOCK_DISTANCES = 1 << 23  # of a block: 32 MB as float32


def nearest(
    points: np.ndarray, among: np.ndarray, k: int, *, is_among: bool = False, workers: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each of (n, n_dims) float32 points its `k` nearest of (m, n_dims) others: their numbers and squared distances.

    Both are (n, k), int32 and float32, the nearest first; k is at most m. With `is_among`, point i is the ith of the others and
    no neighbour of itself, and k is at most m - 1.
    """
    squares = np.einsum("ij,ij->i", among, among)
    rows = max(1, BLOCK_DISTANCES // max(1, len(among)))

    def of_block(start: int) -> tuple[np.ndarray, np.ndarray]:
        block = points[start : start + rows]
        apart = block @ among.T
        apart *= -2
        apart += squares
        if is_among:
            apart[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        found = np.argpartition(apart, k - 1, axis=1)[:, :k] if k < len(among) else np.tile(np.arange(k), (len(block), 1))
        distances = np.take_along_axis(apart, found, axis=1) + np.einsum("ij,ij->i", block, block)[:, None]
        order = np.lexsort((found, distances), axis=1)
        in_order = np.take_along_axis(distances, order, axis=1)
        return np.take_along_axis(found, order, axis=1).astype(np.int32), np.maximum(in_order, 0)

    with one_blas_thread():
        blocks = list(map_in_threads(of_block, range(0, len(points), rows), workers))
    numbers = np.concatenate([one for one, _ in blocks]) if blocks else np.empty((0, k), np.int32)
    return numbers, np.concatenate([one for _, one in blocks]) if blocks else np.empty((0, k), np.float32)
