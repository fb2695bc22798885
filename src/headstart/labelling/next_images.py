"""Which images to label next: typical ones while there are few labels, then those that the model is least sure of."""

import numpy as np

from headstart.audit.random_projection import RandomProjection, of_length_one

FEW_LABELS = 5  # a class, up to which typical images are chosen; 2 to 20 do nearly as well (benchmarks/labelling.py)
UNSURE = 5  # times as many unsure images as are wanted: among these, different ones are chosen
MOST_IMAGES = 20_000  # of more, so many are drawn
MOST_CLUSTERS = 500  # as in TypiClust
DIMENSIONS = 64  # of the random projection in which images are compared
FITTED_ON = 4_000  # images that centres of clusters are fitted to
ROUNDS, TRIES = 8, 4  # of k-means; of points that may be its next centre


def next_images(
    vectors: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray | None,
    n: int,
    seed: int = 0,
    candidates: np.ndarray | None = None,
) -> np.ndarray:
    """The (n,) int64 rows to label next, the best first; fewer if there are fewer unlabelled images.

    `vectors` are (n_images, n_features) float32, `labels` (n_images,) with -1 for none, `probabilities` (n_images, n_classes)
    by a model of the labels so far, None if there is none. With `candidates`, only these rows are chosen from.

    With fewer than FEW_LABELS labels a class, or without probabilities, typical images are chosen (TypiClust, Hacohen, Dekel
    and Weinshall 2022): the images are clustered into as many clusters as there are labels and wanted images, and the largest
    clusters without a label give their image nearest to the centre. A model of so few labels is sure of the wrong things. With
    more labels the images of the smallest margin between the two most probable classes are chosen, one of each cluster among
    the UNSURE * n least sure, so that they are not all alike (Zhdanov 2019).

    On hand signs, monkeys and solar cells this is nowhere worse than random labelling (docs/studio.md has the figures).
    """
    rng = np.random.default_rng(seed)
    may = np.flatnonzero(labels < 0) if candidates is None else np.unique(candidates[labels[candidates] < 0])
    may = some_of(may, rng)
    n = min(n, len(may))
    if not n:
        return np.zeros(0, np.int64)
    n_labelled, n_classes = int((labels >= 0).sum()), 0 if probabilities is None else probabilities.shape[1]
    if probabilities is None or n_classes < 2 or n_labelled < FEW_LABELS * n_classes:
        around = np.concatenate([may, some_of(np.flatnonzero(labels >= 0), rng)])
        return may[_typical(_projected(vectors, around, rng), len(may), n, rng)]
    best = np.partition(probabilities[may], -2, axis=1)[:, -2:]
    unsure = may[np.argsort(best[:, 1] - best[:, 0], kind="stable")[: UNSURE * n]]
    return unsure[_different(_projected(vectors, unsure, rng), n, rng)]


def some_of(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows, or MOST_IMAGES of them, in their order: the features of all may not fit in memory."""
    return rows if len(rows) <= MOST_IMAGES else np.sort(rng.choice(rows, MOST_IMAGES, replace=False))


def _typical(points: np.ndarray, n_candidates: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) of the first `n_candidates` points, each the most central of its cluster; the other points have a label."""
    cluster, distance = _clusters(points, min(MOST_CLUSTERS, len(points) - n_candidates + n), rng)
    n_clusters = int(cluster.max()) + 1
    sizes, labels = (np.bincount(part, minlength=n_clusters) for part in (cluster, cluster[n_candidates:]))
    rank = np.empty(n_clusters, np.int64)
    rank[np.lexsort((-sizes, labels))] = np.arange(n_clusters)  # those with the fewest labels, then the largest
    # The most central image of each cluster in their order, then the second of each, and so on.
    of = cluster[:n_candidates]
    central = np.lexsort((distance[:n_candidates], of))
    starts = np.searchsorted(of[central], np.arange(n_clusters))
    turn = np.arange(n_candidates) - starts[of[central]]
    return central[np.lexsort((rank[of[central]], turn))][:n]


def _different(points: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) of the points, which come in order: the first of each cluster, then the first of the others; in this order."""
    cluster, _ = _clusters(points, n, rng)
    firsts = np.sort(np.unique(cluster, return_index=True)[1])
    others = np.setdiff1d(np.arange(len(points)), firsts)
    return np.concatenate([firsts, others])[:n]


def _clusters(points: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the cluster of each point among `k`, and its squared distance to the centre: k-means, begun as k-means++."""
    fitted = points if len(points) <= FITTED_ON else points[rng.choice(len(points), FITTED_ON, replace=False)]
    k = min(k, len(fitted))
    centres = fitted[_spread(fitted, k, rng)]
    for _ in range(ROUNDS):
        cluster = _nearest(fitted, centres)[0]
        members = np.zeros((k, len(fitted)), np.float32)
        members[cluster, np.arange(len(fitted))] = 1
        counts = members.sum(axis=1)
        centres = np.where(counts[:, None] > 0, members @ fitted / np.maximum(counts, 1)[:, None], centres)
    return _nearest(points, centres)


def _spread(points: np.ndarray, k: int, rng: np.random.Generator) -> list[int]:
    """`k` points that are far apart (k-means++, Arthur and Vassilvitskii 2007, greedy).

    Each is the best of TRIES that are drawn in proportion to their squared distance to those before.
    """
    squares = (points**2).sum(axis=1)
    chosen = [int(rng.integers(len(points)))]
    distance = _squared(points, squares, chosen)[0]
    for _ in range(k - 1):
        total = np.cumsum(distance, dtype=np.float64)
        # Where all that are left are copies of chosen ones, the last will do.
        tried = np.minimum(np.searchsorted(total, rng.random(TRIES) * total[-1], side="right"), len(points) - 1)
        left = np.minimum(distance, _squared(points, squares, tried))
        best = int(left.sum(axis=1).argmin())
        chosen.append(int(tried[best]))
        distance = left[best]
    return chosen


def _squared(points: np.ndarray, squares: np.ndarray, rows: np.ndarray | list[int]) -> np.ndarray:
    """(n_rows, n) squared distances."""
    return np.maximum(squares[rows][:, None] + squares - 2 * (points[rows] @ points.T), 0)


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    between = (centres**2).sum(axis=1) - 2 * (points @ centres.T)
    cluster = between.argmin(axis=1)
    return cluster, between[np.arange(len(points)), cluster] + (points**2).sum(axis=1)


def _projected(vectors: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, DIMENSIONS) float32 of length 1."""
    sample = vectors[rows if len(rows) <= FITTED_ON else rng.choice(rows, FITTED_ON, replace=False)]
    return of_length_one(RandomProjection.of(sample, DIMENSIONS, rng).of_rows(vectors, rows))
