"""Points in the plane whose neighbours are those that they have in many dimensions: t-SNE, in NumPy and SciPy.

t-SNE (van der Maaten and Hinton 2008) with the repulsion of all pairs summed up on a grid by a Fourier transform (Linderman et
al. 2019), equal weights for the nearest neighbours (as good as a perplexity, with a sixth of the edges; Damrich et al. 2023),
and the first two principal components as its start, which keeps the arrangement at large (Kobak and Berens 2019).
Own code, because the well-kept libraries take too long for a page that waits, at the same trustworthiness (scikit-learn's
measure, of 15 neighbours). On two cores that had other work too, 2,000 images took openTSNE 1.0.4 12 to 33 s (0.987),
scikit-learn 1.9 25 s (0.987) and this 1.5 s (0.988); 20,000 took openTSNE 61 s (0.971) and this 10 s (0.984). umap-learn needs
numba, a compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

EXAGGERATION, EXAGGERATED_STEPS, STEPS = 12.0, 120, 400  # the second number is of all steps
MOMENTUM_AT_FIRST, MOMENTUM = 0.5, 0.8
MIN_LEARNING_RATE = 50.0
MIN_GAIN = 0.01
MAX_STEP = 5.0  # in the units of the plane, in which neighbours lie about 1 apart; without it a bad start flies apart
START_DEVIATION = 1e-2
CELL = 0.6  # of the grid, in the same units; half of it takes three times as long and gives no better map
MIN_CELLS, MAX_CELLS = 32, 256  # a side
NODES = 4  # of the grid a side, between which a point is interpolated (cubic, Keys 1981)


def embed_neighbours(
    neighbours: np.ndarray, start: np.ndarray, on_step: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """(n, 2) float32: places of points whose nearest are (n, k) int32 `neighbours`, from a (n, 2) start of any scale.

    The same on every number of cores. `on_step(done, total)` may raise to cancel.
    """
    edges = _edges_of(neighbours)
    places = (start / max(float(start[:, 0].std()), 1e-30) * START_DEVIATION).astype(np.float32)
    rate = max(len(places) / EXAGGERATION, MIN_LEARNING_RATE)
    steps, gains = np.zeros_like(places), np.ones_like(places)
    for step in range(STEPS):
        is_early = step < EXAGGERATED_STEPS
        gradient = (EXAGGERATION if is_early else 1.0) * edges.pull(places) - repulsion(places)
        gains = np.where(np.sign(gradient) != np.sign(steps), gains + 0.2, gains * 0.8).clip(MIN_GAIN).astype(np.float32)
        steps = (MOMENTUM_AT_FIRST if is_early else MOMENTUM) * steps - (4 * rate) * gains * gradient
        steps = steps.clip(-MAX_STEP, MAX_STEP)
        places += steps
        places -= places.mean(axis=0)
        on_step(step + 1, STEPS)
    return places


@dataclass(frozen=True, slots=True)
class _Edges:
    """The graph of neighbours, both ways, row by row."""

    rows: np.ndarray  # (n_edges,) int32
    columns: np.ndarray  # (n_edges,) int32
    starts: np.ndarray  # (n + 1,) int32: where the edges of each row begin
    weights: np.ndarray  # (n_edges,) float32, of sum 1

    def pull(self, places: np.ndarray) -> np.ndarray:
        """(n, 2): the sum of what each point's neighbours pull at it."""
        from scipy.sparse import csr_array

        x, y = np.ascontiguousarray(places.T)
        apart = (x[self.rows] - x[self.columns]) ** 2 + (y[self.rows] - y[self.columns]) ** 2
        strengths = csr_array((self.weights / (1 + apart), self.columns, self.starts), shape=(len(places), len(places)))
        sums = strengths @ np.column_stack([places, np.ones(len(places), np.float32)])
        return sums[:, 2:] * places - sums[:, :2]


def _edges_of(neighbours: np.ndarray) -> _Edges:
    from scipy.sparse import csr_array

    n, k = neighbours.shape
    one_way = csr_array((np.ones(n * k, np.float32), neighbours.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    both = (one_way + one_way.T).tocsr()
    both.sort_indices()
    rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(both.indptr))
    return _Edges(rows, both.indices.astype(np.int32), both.indptr, (both.data / both.data.sum()).astype(np.float32))


def repulsion(places: np.ndarray) -> np.ndarray:
    """(n, 2): for each point i the sum over all others of (yi - yj) / (1 + |yi - yj|^2)^2, divided by a sum over all pairs.

    That is the sum of 1 / (1 + |yi - yj|^2).
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.sparse import csr_array

    n = len(places)
    low = places.min(axis=0)
    span = max(float((places.max(axis=0) - low).max()), 1e-6)
    cells = int(np.clip(np.ceil(span / CELL), MIN_CELLS, MAX_CELLS))
    cell = span / cells
    side = cells + NODES  # a node more on each side, and one for a point on the upper edge
    onto = csr_array(_interpolation((places - low) / cell, side), shape=(n, side * side))
    charges = np.column_stack([np.ones(n, np.float32), places - low])
    on_grid = (onto.T @ charges).T.reshape(3, side, side)
    size = next_fast_len(2 * side, real=True)
    offset = np.minimum(np.arange(size), size - np.arange(size)).astype(np.float32) * np.float32(cell)
    near = 1 / (1 + offset[:, None] ** 2 + offset**2)
    waves = rfft2(on_grid, (size, size))
    squared = rfft2(near**2) * waves
    potentials = irfft2(np.concatenate([squared, rfft2(near)[None] * waves[:1]]), (size, size))[:, :side, :side]
    felt = onto @ np.ascontiguousarray(potentials.reshape(4, -1).T)
    total = max(float(felt[:, 3].sum(dtype=np.float64)) - n, 1e-12)  # each point's own 1 is none
    return ((places - low) * felt[:, :1] - felt[:, 1:3]) / np.float32(total)


def _interpolation(at: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sparse matrix (data, columns, starts) from nodes of a square grid to (n, 2) points, in units of its cells."""
    whole = np.floor(at).astype(np.int32)
    part = (at - whole).astype(np.float32)
    x, y = (_cubic(part[:, axis]) for axis in (0, 1))
    data = (x[:, :, None] * y[:, None, :]).reshape(-1)
    steps = np.arange(NODES, dtype=np.int32)
    columns = (whole[:, :1] + steps)[:, :, None] * np.int32(side) + (whole[:, 1:] + steps)[:, None, :]
    return data, columns.reshape(-1), np.arange(0, len(data) + 1, NODES * NODES)


def _cubic(part: np.ndarray) -> np.ndarray:
    """(n, 4): weights of the nodes at -1, 0, 1 and 2 for points between 0 and 1 (Lagrange)."""
    t = part[:, None]
    return np.hstack(
        [-t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2, -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6]
    )
