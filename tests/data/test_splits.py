"""What is held out: a fair sample, and nothing that was seen in training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.splits import can_be_held, fold_count, folds, groups_of, hold_out, parted, split_dataset, spread_order
from headstart.errors import DataError


def image(
    number: int, label: str = "a", split: str | None = None, group: str | None = None, sha256: str | None = None
) -> LabelledImage:
    return LabelledImage(f"{number}.jpg", Path(f"{number}.jpg"), label, split, group, sha256 or str(number), 40, 30)


def dataset(*images: LabelledImage) -> Dataset:
    return Dataset("set", images, tuple(sorted({i.label for i in images})), ())


def two_classes(n: int) -> list[LabelledImage]:
    return [image(i, "ab"[i % 2]) for i in range(2 * n)]


def alone(labels: np.ndarray) -> np.ndarray:
    return np.arange(len(labels))


def test_stratified() -> None:
    """Each class gives its share, however large or small the class is."""
    labels = np.repeat([0, 1, 2], [100, 10, 3])
    held = hold_out(labels, alone(labels), 0.2, 0, "abc")
    assert np.bincount(labels[held]).tolist() == [20, 2, 1]


def test_seeded() -> None:
    """The same seed gives the same split, another seed another one."""
    labels = np.repeat([0, 1], 50)
    first, again, other = (hold_out(labels, alone(labels), 0.2, seed, "ab") for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_what_was_looked_at_stays_in_train() -> None:
    """Images that something was chosen on are held out last: not as long as there are others of their class."""
    labels, rng = np.repeat([0, 1], 50), np.random.default_rng(0)
    for seed in range(10):
        looked_at = rng.random(100) < 0.5
        held = hold_out(labels, alone(labels), 0.2, seed, "ab", looked_at)
        assert np.bincount(labels[held]).tolist() == [10, 10] and not (held & looked_at).any()
    everything = hold_out(labels, alone(labels), 0.2, 3, "ab", np.ones(100, bool))
    assert (everything == hold_out(labels, alone(labels), 0.2, 3, "ab")).all()
    assert (everything == hold_out(labels, alone(labels), 0.2, 3, "ab", np.zeros(100, bool))).all()


def test_a_group_with_an_image_that_was_looked_at_stays_in_train() -> None:
    """Looking at one picture of a scene is looking at the scene; where all of a class were looked at, some are held out."""
    labels, groups = np.repeat([0, 1], 40), np.arange(80) // 4
    looked_at = np.zeros(80, bool)
    looked_at[[0, 4, 8, 12, 16]] = True  # half of the groups of the first class
    looked_at[40:] = True
    held = hold_out(labels, groups, 0.2, 0, "ab", looked_at)
    assert np.bincount(labels[held]).tolist() == [8, 8]
    assert not held[:20].any()
    images = [image(i, "ab"[label], group=str(group)) for i, (label, group) in enumerate(zip(labels, groups, strict=True))]
    split = split_dataset(dataset(*images), groups, val_fraction=0.2, needs_val=True, seed=0, looked_at=looked_at)
    assert (np.sort(split.val) == np.flatnonzero(held)).all() and len(split.train) == 64


def test_every_image_has_its_chance() -> None:
    """No image is always or never held out: the choice is random, not by position."""
    labels = np.repeat([0, 1], 10)
    held = np.mean([hold_out(labels, alone(labels), 0.3, seed, "ab") for seed in range(200)], axis=0)
    assert held.min() > 0.15
    assert held.max() < 0.45


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=6, max_size=80),
    st.floats(0.05, 0.9),
    st.integers(0, 99),
)
def test_groups_within_classes(members: list[tuple[int, int]], fraction: float, seed: int) -> None:
    """No group is divided, every class of several groups is on both sides, and its share is met to within its largest group."""
    classes = sorted({label for label, _ in members})
    labels = np.array([classes.index(label) for label, _ in members])
    groups = np.unique([10 * label + group for label, group in members], return_inverse=True)[1]
    sizes = [np.bincount(groups[labels == label]) for label in range(len(classes))]
    n_groups = [(size > 0).sum() for size in sizes]
    if max(n_groups) < 2 or min(size.sum() for size in sizes) < 2:
        with pytest.raises(DataError):
            hold_out(labels, groups, fraction, seed, [str(label) for label in classes])
        return
    held = hold_out(labels, groups, fraction, seed, [str(label) for label in classes])
    assert not set(groups[held]) & set(groups[~held])
    for label, size in enumerate(sizes):
        n_held, n = held[labels == label].sum(), (labels == label).sum()
        if n_groups[label] < 2:
            assert n_held == 0
            continue
        assert 0 < n_held < n
        assert abs(n_held - fraction * n) <= size.max() + 0.5


def test_a_giant_group_is_not_held_out() -> None:
    """Where one group is most of a class, the small ones are held out, whatever the seed."""
    labels = np.repeat([0, 1], [100, 100])
    groups = np.concatenate([np.zeros(80, int), np.arange(1, 21), np.arange(21, 121)])
    for seed in range(20):
        assert hold_out(labels, groups, 0.2, seed, "ab")[:100].sum() == 20


def test_of_large_groups_the_smallest_is_held_out() -> None:
    """Where every group is larger than the share, the smallest comes nearest to it."""
    labels = np.repeat([0, 1], [100, 10])
    groups = np.concatenate([np.repeat([0, 1], [60, 40]), np.arange(2, 12)])
    for seed in range(5):
        assert hold_out(labels, groups, 0.1, seed, "ab")[:100].sum() == 40


def test_group_of_several_classes_stays_whole() -> None:
    """A group that spans classes goes to one side with all its images, and no class loses its last one."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    groups = np.array([0, 1, 2, 0, 3, 4])
    for seed in range(20):
        held = hold_out(labels, groups, 0.34, seed, "ab")
        assert held[0] == held[3]
        assert all(0 < held[labels == label].sum() < 3 for label in (0, 1))


@pytest.mark.parametrize(("count", "words"), [(1, "1 image;"), (0, "0 images;")])
def test_class_too_small_to_divide(count: int, words: str) -> None:
    """A class of one image cannot be on both sides: an error with a way out that leads out."""
    labels = np.repeat([0, 1], [5, count])
    with pytest.raises(DataError) as caught:
        hold_out(labels, alone(labels), 0.2, 0, ("ants", "bees"))
    assert caught.value.message == f"class 'bees' has {words} 2 are needed to hold one out"
    assert caught.value.hint == "add images, or give --val or --test"
    labels = np.repeat([0, 1, 2], [5, count, 5])
    with pytest.raises(DataError, match="2 are needed to hold one out") as caught:
        hold_out(labels, alone(labels), 0.2, 0, ("ants", "bees", "wasps"))
    assert caught.value.hint == "add images, or pass --val-fraction 0"


def test_a_class_that_is_one_group_is_only_trained_on() -> None:
    """Nothing of a class of one group is held out, nor of what shares that group; every other image is, once."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    groups = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6])
    assert not hold_out(labels, groups, 0.5, 0, "abc")[:4].any()
    assert fold_count(labels, groups) == 3
    parts = list(folds(labels, groups, 3, 0))
    assert sorted(np.concatenate([held for _, held in parts]).tolist()) == [4, 5, 6, 7, 8, 9]
    for fit, held in parts:
        assert set(fit) | set(held) == set(range(10))
        assert {0, 1, 2, 3} <= set(fit)


def test_a_class_left_with_one_group_is_only_trained_on() -> None:
    """Of a class whose other group is only trained on, the last group is too: else a fold had nothing to hold out."""
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    groups = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    assert can_be_held(labels, groups).tolist() == [False] * 4 + [True] * 4


def test_groups_are_divided_if_nothing_could_be_reported() -> None:
    """With fewer than two classes of several groups, images of the others count one by one; with two, groups stay."""
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    assert parted(labels, np.array([0, 0, 0, 1, 2, 3, 4])).tolist() == [0, 0, 0, 1, 2, 3, 4]
    one = parted(labels, np.array([0, 0, 0, 1, 1, 2, 3]))
    assert one[5:].tolist() == [2, 3]
    assert len(np.unique(one)) == 7
    assert len(np.unique(parted(labels, np.array([0, 0, 0, 1, 1, 2, 2])))) == 7


def test_classes_of_one_group_each() -> None:
    """Where a group may not be divided and nothing can be held out, it is said."""
    with pytest.raises(DataError, match="class 'ants' is all one group, and so is every other"):
        hold_out(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0.5, 0, ("ants", "bees"))


def test_groups_by_column_and_by_bytes() -> None:
    """Images of one group, or of the very same bytes, or linked through both, are one group."""
    images = [
        image(0, group="g", sha256="x"),
        image(1, sha256="x"),
        image(2, group="g"),
        image(3, sha256="y"),
        image(4, group="h", sha256="y"),
        image(5),
        image(6, group=""),
    ]
    assert groups_of(images).tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert groups_of(images, [(3, 6), (6, 5)]).tolist() == [0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_never_on_both_sides(seed: int) -> None:
    """Copies of a file under other names are held out together or not at all."""
    images = [image(i, "ab"[i % 2], sha256=str(i // 4) + "ab"[i % 2]) for i in range(40)]
    split = split_dataset(dataset(*images), groups_of(images), val_fraction=0.2, needs_val=True, seed=seed)
    digests = [{images[i].sha256 for i in side} for side in (split.train, split.val)]
    assert not digests[0] & digests[1]
    assert len(split.val) == 8


def test_val_of_the_data_wins() -> None:
    """A val that came with the data is used as it is, also where an image of it is in train too."""
    images = [image(0, "a", "train"), image(1, "b", "train"), image(2, "a", "val"), image(0, "b", "val")]
    found = split_dataset(
        dataset(*images),
        groups_of(images),
        val_fraction=0.2,
        needs_val=True,
        seed=0,
    )
    assert found.val_from == "data"
    assert {name: side.tolist() for name, side in found.as_dict().items()} == {"train": [0, 1], "val": [2, 3], "test": []}


@pytest.mark.parametrize(
    ("has_test", "needs_val", "val_fraction", "val_from", "n_val"),
    [
        (False, False, 0.2, "train", 4),
        (False, True, 0.2, "train", 4),
        (True, False, 0.2, "none", 0),
        (True, True, 0.2, "train", 4),
        (False, False, 0.0, "none", 0),
        (True, True, 0.0, "none", 0),
    ],
)
def test_when_a_val_is_split_off(has_test: bool, needs_val: bool, val_fraction: float, val_from: str, n_val: int) -> None:
    """Without a val one is split off train, unless a test split serves, or none is wanted."""
    images = [image(i, "ab"[i % 2], "train" if has_test else None) for i in range(20)]
    tested = [image(20, "a", "test"), image(21, "b", "test")] if has_test else []
    groups = groups_of([*images, *tested])
    split = split_dataset(dataset(*images, *tested), groups, val_fraction=val_fraction, needs_val=needs_val, seed=0)
    assert (split.val_from, len(split.val), len(split.train)) == (val_from, n_val, 20 - n_val)
    assert split.test.tolist() == ([20, 21] if has_test else [])
    assert sorted([*split.train, *split.val]) == list(range(20))
    assert (np.diff(split.train) > 0).all()


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_hold_each_image_out_once(grouped: bool) -> None:
    """Over the folds every image is held out exactly once, classes are in proportion, groups whole."""
    labels = np.repeat([0, 1], [40, 20])
    groups = np.arange(60) // 2 if grouped else alone(labels)
    parts = list(folds(labels, groups, 5, seed=0))
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(60))
    for fit, held in parts:
        assert not set(fit) & set(held)
        assert not set(groups[fit]) & set(groups[held])
        assert np.bincount(labels[held]).tolist() == [8, 4]


def test_folds_are_seeded() -> None:
    """The same seed gives the same folds, another seed others."""
    labels = np.repeat([0, 1], 20)
    first, again, other = ([held.tolist() for _, held in folds(labels, alone(labels), 4, seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("labels", "groups", "count"),
    [
        ([0] * 10 + [1] * 10, list(range(20)), 5),
        ([0] * 10 + [1] * 3, list(range(13)), 3),
        ([0] * 4 + [1] * 4, [0, 0, 1, 1, 2, 3, 4, 5], 2),
        ([0] * 4 + [1], list(range(5)), 1),
    ],
)
def test_fold_count(labels: list[int], groups: list[int], count: int) -> None:
    """As many folds as the smallest class has groups, at most five."""
    assert fold_count(np.array(labels), np.array(groups)) == count


class Counted(np.ndarray):
    """An array that counts the elements NumPy's arithmetic and comparisons are done on, its own and those derived from it."""

    n_elements = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        Counted.n_elements += max(np.size(value) for value in inputs)
        plain = [value.view(np.ndarray) if isinstance(value, Counted) else value for value in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return result.view(Counted) if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize(
    "work",
    [
        lambda labels, groups: hold_out(labels, groups, 0.2, 0, [str(i) for i in range(500)]),
        lambda labels, groups: fold_count(labels, groups),
        lambda labels, _: spread_order(labels, 0),
    ],
    ids=["hold_out", "fold_count", "spread_order"],
)
def test_work_grows_with_the_images_alone(work: Callable[[np.ndarray, np.ndarray], object]) -> None:
    """Many classes and many groups do not multiply the work: no pass over all images for each of them."""
    n = 4_000
    labels, groups = np.arange(n) % 500, np.arange(n) // 2
    Counted.n_elements = 0
    work(labels.view(Counted), groups.view(Counted))
    assert Counted.n_elements <= 50 * n


def some_labels_and_groups() -> tuple[np.ndarray, np.ndarray]:
    """300 images of 4 classes in 90 groups, of which some span classes."""
    rng = np.random.default_rng(7)
    return rng.integers(0, 4, 300), rng.integers(0, 90, 300)


def test_what_a_seed_holds_out_stays() -> None:
    """A seed gives the split that earlier versions gave."""
    labels, groups = some_labels_and_groups()
    held = [np.flatnonzero(hold_out(labels, groups, 0.2, seed, "abcd")) for seed in (0, 1)]
    assert [(len(one), one[:8].tolist(), int(one.sum())) for one in held] == [
        (68, [0, 6, 11, 13, 19, 25, 28, 36], 10693),
        (72, [0, 1, 3, 8, 9, 12, 17, 22], 9871),
    ]
    labels, groups = np.arange(200) % 3, np.arange(200)
    assert np.flatnonzero(hold_out(labels, groups, 0.05, 3, "abc")).tolist() == [0, 38, 51, 61, 109, 114, 122, 196, 197]
    assert spread_order(labels, 3)[:12].tolist() == [0, 29, 136, 51, 106, 44, 114, 61, 20, 6, 190, 38]


def test_what_a_seed_deals_stays() -> None:
    """A seed gives the folds that earlier versions gave, where no images are related."""
    labels = np.arange(40) % 3
    assert [held.tolist() for _, held in folds(labels, np.arange(40), 5, 3)] == [
        [0, 7, 9, 20, 25, 30, 34, 35],
        [8, 11, 13, 18, 19, 22, 33, 39],
        [1, 2, 6, 12, 15, 23, 26, 28],
        [3, 10, 14, 24, 29, 32, 36, 37],
        [4, 5, 16, 17, 21, 27, 31, 38],
    ]


def test_folds_of_groups_that_span_classes() -> None:
    """No group is divided, the classes and the folds are even, and the seed decides."""
    labels, groups = some_labels_and_groups()
    first, again, other = ([held.tolist() for _, held in folds(labels, groups, 5, seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(i for held in first for i in held) == list(range(300))
    for fit, held in folds(labels, groups, 5, 0):
        assert sorted([*fit, *held]) == list(range(300))
        assert not set(groups[fit]) & set(groups[held])
    counts = np.array([np.bincount(labels[held], minlength=4) for held in first])
    assert np.ptp(counts, axis=0).max() <= 3, "each class is spread evenly"
    assert np.ptp(counts.sum(axis=1)) <= 4


def test_single_images_even_out_the_folds() -> None:
    """Where most images are groups of their own, the folds and the classes in them are as even as without groups."""
    labels, groups = np.arange(400) % 4, np.concatenate([np.arange(40) // 4, np.arange(40, 400)])
    counts = np.array([np.bincount(labels[held], minlength=4) for _, held in folds(labels, groups, 5, 0)])
    assert counts.tolist() == [[20] * 4] * 5
