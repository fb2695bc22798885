"""Which images without a label are unlike all that have one."""

import numpy as np

from headstart.labelling.unfamiliar import FEWEST, FamiliarityWatch


def test_strangers_are_unfamiliar() -> None:
    """Of images from two clusters with labels few are unfamiliar; of images from elsewhere all are."""
    rng = np.random.default_rng(0)
    centres = np.eye(3, 40) * 8
    vectors = np.concatenate([centre + rng.normal(size=(150, 40)) for centre in centres]).astype(np.float16)
    labels = np.repeat(np.arange(3), 150)
    rows = np.flatnonzero((labels < 2) & (np.arange(450) % 2 == 0))
    others = np.setdiff1d(np.arange(450), rows)
    ratio = FamiliarityWatch().judge(vectors, rows, labels[rows], rows, others)
    assert ratio is not None and ratio.shape == others.shape
    assert (ratio[labels[others] == 2] > 1).all()
    assert (ratio[labels[others] < 2] > 1).mean() < 0.06


def test_when_it_is_judged() -> None:
    """Not with few labels, not without others, and again only when the labels have grown by a third."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float16)
    watch, others = FamiliarityWatch(), np.arange(200, 300)

    def judges(n: int) -> bool:
        return watch.judge(vectors, np.arange(n), np.arange(n) % 2, np.arange(n), others) is not None

    assert [judges(n) for n in (FEWEST - 1, 100, 101, 129, 130, 131)] == [False, True, False, False, True, False]
    assert FamiliarityWatch().judge(vectors, np.arange(100), np.arange(100) % 2, np.arange(100), np.arange(0)) is None
