"""Which pictures are alike."""

import numpy as np

from headstart.labelling.sketches import Sketches


def vectors_of(n: int, seed: int = 0) -> np.ndarray:
    """(n, 200) float16 in 20 clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, 200))
    return (centres[np.arange(n) % 20] + 0.4 * rng.normal(size=(n, 200))).astype(np.float16)


def exact(vectors: np.ndarray, row: int) -> np.ndarray:
    """(n,) cosines of the standardised features."""
    points = vectors.astype(np.float32)
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points @ points[row]


def test_the_nearest_are_the_nearest() -> None:
    """The rows that are found are those that a comparison of all features finds, in its order and with its cosines."""
    vectors = vectors_of(400)
    sketches = Sketches.of(vectors, np.ones(400, bool))
    for row in (0, 57, 399):
        cosines = exact(vectors, row)
        cosines[row] = -1
        found = sketches.nearest(vectors, vectors[row], 5, np.delete(np.arange(400), row))
        assert [other for other, _ in found] == np.argsort(-cosines)[:5].tolist()
        assert np.allclose([cosine for _, cosine in found], np.sort(cosines)[::-1][:5], atol=1e-3)


def test_only_asked_rows_are_found() -> None:
    """The nearest are among the rows that may be named; of few, all are."""
    vectors = vectors_of(100)
    sketches = Sketches.of(vectors, np.ones(100, bool))
    found = sketches.nearest(vectors, vectors[0], 10, np.array([3, 20, 41]))
    assert {row for row, _ in found} == {3, 20, 41}
    assert found[0][0] == 20  # of the same cluster
    assert sketches.nearest(vectors, vectors[0], 10, np.empty(0, np.int64)) == []


def test_rows_that_cannot_be_read_are_like_nothing() -> None:
    """A row without features has no likeness, and does not move the mean of the others."""
    vectors, known = vectors_of(100), np.ones(100, bool)
    vectors[90:], known[90:] = 1_000, False
    sketches = Sketches.of(vectors, known)
    assert not sketches.to(vectors[0])[90:].any()
    assert np.abs(sketches.projection.mean).max() < 100


def test_a_feature_that_never_changes_does_no_harm() -> None:
    """Constant features have no part in the likeness."""
    vectors = vectors_of(100)
    vectors[:, 3] = 7
    assert np.isfinite(Sketches.of(vectors, np.ones(100, bool)).sketches).all()
