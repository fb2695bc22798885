"""Splits of a data set that adds to an earlier one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.kept_splits import KeptSplits, Shares, kept_splits
from headstart.data.label_sets import labels_in
from headstart.errors import DataError

HALF = Shares(test=0.0, val=0.5)


def split(
    labels: str,
    *,
    was: dict[int, Sequence[str]] | None = None,
    groups: Sequence[int] = (),
    given: Sequence[str | None] = (),
    shares: Shares = HALF,
) -> KeptSplits:
    """The splits of images whose classes are the letters of `labels`; `was` has the earlier ones by their numbers."""
    images = tuple(LabelledImage(str(i), Path(str(i)), label, None, None, str(i), 9, 9) for i, label in enumerate(labels))
    dataset = Dataset("letters", images, tuple(sorted(set(labels))), ())
    before = {str(i): splits for i, splits in (was or {}).items()}
    numbers = np.array(groups or range(len(labels)), np.int64)
    return kept_splits(dataset, given or [None] * len(labels), numbers, before, shares, seed=0)


def test_earlier_images_stay_where_they_were() -> None:
    """Whatever split the data has for it now, an image that was held out stays so, and one of train stays in train."""
    was = {0: ["val"], 1: ["train"], 2: ["test"], 3: ["train"]}
    kept = split("abba", was=was, given=["train", "val", None, "train"], shares=Shares(0, 0))
    assert kept.names == ("val", "train", "test", "train")
    assert kept.moved == 2


def test_an_image_that_was_in_two_splits_is_in_the_one_that_it_is_given_in() -> None:
    """The same bytes in train and val were there twice; without a word about it, they are held out."""
    kept = split(
        "abaab", was={0: ["train", "val"], 1: ["train"], 2: ["train", "val"], 3: ["train"]}, given=["train", *[None] * 4]
    )
    assert kept.names[0] == "train"
    assert kept.names[2] == "val"


def test_a_new_twin_is_held_out_with_the_image_that_was() -> None:
    """A new image of the same picture as one of val goes to val, also if it is given as train; a twin of train to train."""
    kept = split(
        "ababaa",
        was={0: ["val"], 1: ["train"]},
        groups=[0, 1, 0, 1, 0, 2],
        given=[None] * 4 + ["train", None],
        shares=Shares(0, 0),
    )
    assert kept.names == ("val", "train", "val", "train", "val", "train")
    assert kept.twins == 2


def test_new_images_are_stratified() -> None:
    """Of every class the share of the new images is held out, at least one of a new class, and no group is divided."""
    labels = "a" * 10 + "b" * 20 + "c" * 4
    groups = [*range(10), *np.repeat(np.arange(10, 20), 2).tolist(), *range(20, 24)]
    kept = split(labels, was={number: ["train"] for number in range(4)}, groups=groups, shares=Shares(0, 0.2))
    names = np.array(kept.names)
    assert [int((names[np.array(list(labels)) == label] == "val").sum()) for label in "abc"] == [1, 4, 1]
    assert all(len(set(names[np.array(groups) == group])) == 1 for group in groups)
    assert set(names[:4]) == {"train"}


def test_few_new_images_of_a_class_do_not_make_val_grow() -> None:
    """Less than half an image of a class that was there before is none: many small additions leave the shares as they were."""
    kept = split("aabb" + "ab" * 2, was=dict(enumerate([["train"], ["val"]] * 2)), shares=Shares(0, 0.2))
    assert kept.names[4:] == ("train",) * 4


def test_new_images_of_one_scene_are_trained_on() -> None:
    """A class that is one group cannot be divided; nothing is refused for that, as the earlier images are held out anyway."""
    was = {0: ["train"], 1: ["val"], 2: ["train"], 3: ["val"]}
    assert set(split("aabbcccc", was=was, groups=[0, 1, 2, 3, 4, 4, 4, 4]).names[4:]) == {"train"}


def test_given_splits_of_new_images_count() -> None:
    """New images that come with val or test are taken as they are given, and then nothing else is split off for it."""
    kept = split("abab" * 2, was={0: ["train"], 1: ["train"]}, given=[None] * 4 + ["val", "val", "train", "train"])
    assert kept.names == ("train",) * 4 + ("val", "val", "train", "train")


def test_shares_of_test_and_val() -> None:
    """Where the run had both, new images get both."""
    names = split("ab" * 20 + "cc", was={40: ["train"], 41: ["train"]}, shares=Shares(test=0.2, val=0.3)).names
    assert [names.count(name) for name in ("test", "val", "train")] == [8, 12, 22]


def of_task(
    labels: Sequence[str], was: dict[int, Sequence[str]], groups: Sequence[int] = (), share: float = 0.2, number: str = ""
) -> np.ndarray:
    """The splits of images with several labels or, if it has a name, with a number each."""
    images = tuple(LabelledImage(str(i), Path(str(i)), label, None, None, str(i), 9, 9) for i, label in enumerate(labels))
    classes = (number,) if number else labels_in(labels)
    dataset = Dataset("images", images, classes, (), several=not number, number=number)
    before = {str(i): splits for i, splits in was.items()}
    numbers = np.array(groups or range(len(labels)), np.int64)
    return np.array(kept_splits(dataset, [None] * len(labels), numbers, before, Shares(0, share), seed=0).names)


def test_new_images_with_several_labels_are_stratified() -> None:
    """Of every label the share of the new images is held out, also of a rare and of a new one; groups stay together."""
    labels = ["a", "b", "a|b", "|"] + ["a|c", "b", "|", "a|b", "b|c"] * 20
    groups = [*range(4), *np.repeat(np.arange(4, 54), 2).tolist()]
    names = of_task(labels, {0: ["train"], 1: ["val"], 2: ["train"], 3: ["val"]}, groups)
    assert names[:4].tolist() == ["train", "val", "train", "val"]
    for label, n in (("a", 8), ("b", 12), ("c", 8)):
        held = sum(label in labels[i] for i in np.flatnonzero(names[4:] == "val") + 4)
        assert abs(held - n) <= 2
    assert all(len(set(names[np.array(groups) == group])) == 1 for group in groups)
    assert of_task(["a", "b", "a|b", "a"], {0: ["train"], 1: ["train"]}).tolist() == ["train"] * 4  # too few to hold one out


def test_a_label_is_never_without_train_images() -> None:
    with pytest.raises(DataError, match="label 'c' has only images that stay held out"):
        of_task(["a", "b", "a|c"], {0: ["train"], 1: ["train"], 2: ["val"]})


def test_new_numbers_of_all_sizes_are_held_out() -> None:
    """A fifth of the new images, from the small to the large ones; of two images none, and of one group none."""
    labels = ["5", "6", *(str(i) for i in range(50))]
    names = of_task(labels, {0: ["train"], 1: ["val"]}, number="size")
    held = [float(labels[i]) for i in np.flatnonzero(names[2:] == "val") + 2]
    assert names[:2].tolist() == ["train", "val"]
    assert len(held) == 10 and min(held) < 5 and max(held) >= 45
    assert of_task(["5", "6", "1", "2"], {0: ["train"], 1: ["val"]}, number="size").tolist() == [
        "train",
        "val",
        "train",
        "train",
    ]
    one_group = of_task(["5", "6", *"123456"], {0: ["train"], 1: ["val"]}, [0, 1, *[2] * 6], number="size")
    assert set(one_group[2:]) == {"train"}
    with pytest.raises(DataError, match="there are no train images"):
        of_task(["5", "6"], {0: ["val"], 1: ["val"]}, number="size")


def test_a_class_is_never_without_train_images() -> None:
    """A class of a single image, or one whose images all stay held out, is refused with its name."""
    with pytest.raises(DataError, match="class 'c' has 1 image; 2 are needed to hold one out"):
        split("ababc", was=dict(enumerate([["train"], ["train"], ["val"], ["val"]])))
    with pytest.raises(DataError, match="class 'b' has only images that stay held out"):
        split("aab", was={0: ["train"], 1: ["val"], 2: ["val"]})
