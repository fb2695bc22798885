"""Folds that stay."""

import numpy as np

from headstart.labelling.fold_book import FoldBook


def test_an_image_keeps_its_fold() -> None:
    """Whatever is labelled later or otherwise, an image stays in the fold that it was dealt to."""
    book, groups = FoldBook(), np.arange(40)
    labels = groups % 3
    first = book.deal(labels[:20], groups[:20])
    later = book.deal(labels, groups)
    assert np.array_equal(later[:20], first)
    others = book.deal(2 - labels[::-1], groups[::-1])
    assert np.array_equal(others[::-1], later)


def test_classes_are_spread_evenly() -> None:
    """Each fold gets as many images of each class, give or take one; and as many in all."""
    book = FoldBook(5)
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    folds = book.deal(labels, np.arange(80))
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    counts = np.bincount(folds, minlength=5)
    assert counts.max() - counts.min() <= 2


def test_a_group_has_one_fold() -> None:
    """Related images are never on both sides, also where they carry different labels."""
    groups = np.random.default_rng(0).integers(30, size=200)
    folds = FoldBook().deal(np.random.default_rng(1).integers(4, size=200), groups)
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in np.unique(groups))


def test_nothing_to_deal() -> None:
    """No image, no fold."""
    assert FoldBook().deal(np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)
