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


def test_an_image_from_elsewhere() -> None:
    """An image that is tried is judged by the same measure, also where all images have labels; not with few labels."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6000, 40)).astype(np.float16)
    vectors[:, 0] += 8
    rows = np.arange(6000)
    watch, stranger = FamiliarityWatch(), np.eye(1, 40, 3, dtype=np.float32)[0] * 8
    found = [watch.judge_image(image, vectors, rows, rows % 2, rows) for image in (vectors[7], stranger)]
    assert found[0] is not None and found[0] < 1 < (found[1] or 0)
    few = rows[: FEWEST - 1]
    assert watch.judge_image(stranger, vectors, few, few % 2, few) is None
