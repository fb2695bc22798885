"""What is asked to be labelled next: images of every kind first, then those the model is unsure of, no two alike."""

import numpy as np
import pytest

from headstart.labelling.next_images import FEW_LABELS, MOST_IMAGES, next_images
from headstart.model.probe import fit_probe
from headstart.tasks.probabilities import softmax

N_CLASSES = 4


def blobs(n: int, seed: int = 0, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 40) vectors in four clusters, and the cluster of each; the last cluster has a tenth of the images."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(N_CLASSES, n, p=[0.3, 0.3, 0.3, 0.1])
    centres = 2 * rng.normal(size=(N_CLASSES, 40))
    return (centres[kinds] + spread * rng.normal(size=(n, 40))).astype(np.float32), kinds


def test_the_first_are_of_every_kind() -> None:
    """With no label at all, twice as many images as there are kinds are of every kind, also of a rare one."""
    for seed in range(5):
        vectors, kinds = blobs(400, seed)
        rows = next_images(vectors, np.full(400, -1), None, 2 * N_CLASSES, seed)
        assert set(kinds[rows]) == {0, 1, 2, 3}


def test_clusters_with_labels_wait() -> None:
    """With three kinds labelled, the next image is of the fourth; it is near its centre, not at the edge."""
    vectors, kinds = blobs(400)
    labels = np.full(400, -1)
    for kind in range(3):
        labels[np.flatnonzero(kinds == kind)[:1]] = kind
    (row,) = next_images(vectors, labels, None, 1)
    assert kinds[row] == 3
    distances = np.linalg.norm(vectors - vectors[kinds == 3].mean(axis=0), axis=1)
    assert distances[row] < np.median(distances[kinds == 3])


def test_then_the_unsure_ones_no_two_alike() -> None:
    """With enough labels the least margins are asked for, and of copies of an image one."""
    vectors, kinds = blobs(400)
    labels = np.where(np.arange(400) < FEW_LABELS * N_CLASSES, kinds, -1)
    probabilities = np.tile([0.97, 0.01, 0.01, 0.01], (400, 1))
    unsure = np.arange(100, 150)
    probabilities[unsure] = [0.5, 0.48, 0.01, 0.01]
    vectors[unsure[:25]] = vectors[100]  # 25 copies of one image
    rows = next_images(vectors, labels, probabilities, 10)
    assert set(rows) <= set(unsure)
    assert sum(row < 125 for row in rows) == 1
    few = np.where(np.arange(400) < FEW_LABELS * N_CLASSES - 1, kinds, -1)
    assert not set(next_images(vectors, few, probabilities, 10)) <= set(unsure), "a model of few labels is not asked"


@pytest.mark.parametrize("has_model", [False, True])
def test_what_is_labelled_or_no_candidate_is_never_asked_for(has_model: bool) -> None:
    """Each row once, the most that there are, in the same order for the same seed."""
    vectors, kinds = blobs(300)
    labels = np.where(np.arange(300) % 3 == 0, kinds, -1)
    probabilities = np.full((300, N_CLASSES), 1 / N_CLASSES) if has_model else None
    candidates = np.arange(200, 300)
    rows = next_images(vectors, labels, probabilities, 1000, candidates=candidates)
    assert sorted(rows) == [row for row in candidates if row % 3]
    ten = next_images(vectors, labels, probabilities, 10, seed=3)
    assert len(set(ten)) == 10
    assert (labels[ten] < 0).all()
    assert ten.tolist() == next_images(vectors, labels, probabilities, 10, seed=3).tolist()


@pytest.mark.parametrize("has_model", [False, True])
@pytest.mark.parametrize("n_images", [1, 2, 5])
def test_hardly_any_images_and_copies(n_images: int, has_model: bool) -> None:
    """One image, or all of them copies: all are asked for. With no unlabelled image nothing is."""
    vectors = np.ones((n_images, 8), np.float32)
    probabilities = np.full((n_images, 2), 0.5) if has_model else None
    assert sorted(next_images(vectors, np.full(n_images, -1), probabilities, 9)) == list(range(n_images))
    assert len(next_images(vectors, np.zeros(n_images, int), probabilities, 9)) == 0


def test_many_images() -> None:
    """Of more images than are looked at, some are drawn; copies of an image are not asked for twice."""
    n = MOST_IMAGES + 5_000
    vectors = np.repeat(blobs(n // 5)[0], 5, axis=0)
    rows = next_images(vectors, np.full(n, -1), None, 20)
    assert len(set((rows // 5).tolist())) == 20


def test_one_class_so_far() -> None:
    """A model of one class is unsure of nothing: what is asked for is what it would be without the model."""
    vectors, kinds = blobs(400)
    labels = np.where(kinds == 0, 0, -1)
    rows = next_images(vectors, labels, np.ones((400, 1)), 6)
    assert rows.tolist() == next_images(vectors, labels, None, 6).tolist()


def test_better_than_at_random() -> None:
    """On clusters that overlap, 12 and 60 labels that were asked for give a better model than as many at random."""
    gains = []
    for seed in range(6):
        vectors, kinds = blobs(600, seed, spread=3.0)
        pool, test = np.arange(400), np.arange(400, 600)
        rng = np.random.default_rng(seed)
        labels, probabilities = np.full(600, -1), None
        for budget in (4, 12, 24, 60):
            rows = next_images(vectors, labels, probabilities, budget - int((labels >= 0).sum()), seed, pool)
            labels[rows] = kinds[rows]
            probabilities = probabilities_of(vectors, labels)
            drawn = np.full(600, -1)
            drawn[rng.permutation(pool)[:budget]] = 1
            at_random = probabilities_of(vectors, np.where(drawn > 0, kinds, -1))
            asked, random = ((p[test].argmax(axis=1) == kinds[test]).mean() for p in (probabilities, at_random))
            gains.append(asked - random)
    assert np.mean(gains) > 0.02


def probabilities_of(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, 4) by a probe of the labels so far."""
    rows = np.flatnonzero(labels >= 0)
    present, numbers = np.unique(labels[rows], return_inverse=True)
    found = np.zeros((len(labels), N_CLASSES))
    found[:, present] = softmax(fit_probe(vectors, numbers, rows, len(present), rows=rows, strength=1e-2).head.logits(vectors))
    return found
