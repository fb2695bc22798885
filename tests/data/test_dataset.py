"""The rules that labels and splits must keep, each with its sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Dataset, LabelledImage, labelled_dataset, training_dataset
from headstart.data.opening import open_sources
from headstart.data.sources import Candidate, Skipped, Sources
from headstart.errors import DataError


def image(label: str, split: str | None = None, number: int = 0) -> LabelledImage:
    name = f"{split or 'all'}/{label}/{number}.jpg"
    return LabelledImage(name, Path(name), label, split, None, name, 40, 30)


def dataset(
    *images: LabelledImage, unread: tuple[tuple[str, str | None], ...] = (), empty: tuple[tuple[str, str], ...] = ()
) -> Dataset:
    """A data set of readable `images`, of `unread` candidates (label, split) and `empty` folders (split, label)."""
    lost = [Candidate(f"bad {label}", Path("bad"), label, split) for label, split in unread]
    candidates = [Candidate(i.path, i.file, i.label, i.split) for i in images] + lost
    skipped = [Skipped(candidate.path, "the file is empty") for candidate in lost]
    return training_dataset("set", images, skipped, [Sources("set", tuple(candidates), empty_classes=empty)])


def error_of(*images: LabelledImage, **rest: object) -> DataError:
    with pytest.raises(DataError) as caught:
        dataset(*images, **rest)  # type: ignore[arg-type]
    return caught.value


def test_classes_are_in_natural_order() -> None:
    """Classes are bound by name and ordered as people count; labels are indices into them."""
    found = dataset(image("10"), image("2"), image("b"), image("2", number=1))
    assert found.classes == ("2", "10", "b")
    assert found.labels.tolist() == [1, 0, 2, 0]
    assert found.labels.dtype == np.int64
    assert found.notes == ()


def test_splits_and_their_indices() -> None:
    """Splits are listed as train, val, test whatever the order of the images."""
    found = dataset(*(image(label, split) for split in ("test", "val", "train") for label in "ab"))
    assert found.splits == ("train", "val", "test")
    assert found.indices_of("val").tolist() == [2, 3]
    assert found.indices_of("none").size == 0
    assert dataset(image("a"), image("b")).splits == ()


def test_groups_of_train_in_a_given_test_are_told() -> None:
    """A group on both sides of a given split makes a note: the accuracy looks better than it is."""
    of_group = replace(image("a", "test", number=2), group="patient 7")
    grouped = dataset(replace(image("a", "train"), group="patient 7"), image("b", "train"), of_group)
    assert "1 of the 1 test images is of a group that train has" in grouped.notes[0]


def test_no_images_at_all() -> None:
    """Without one readable image the first reason is told, and what can be read."""
    error = error_of(unread=(("a", None), ("b", None)))
    assert error.message == "set has no image that can be read; the first of 2 files skipped: bad a: the file is empty"
    assert error.hint.startswith("JPEG, PNG, WebP")
    assert error_of().message == "set has no image that can be read"


def test_one_class() -> None:
    """One class is not a classification, and the usual reason is the wrong folder."""
    error = error_of(image("ants"), image("ants", number=1))
    assert error.message == "there is only one class, 'ants'; a classifier needs two or more"
    assert error.hint == "give the folder that holds the class folders"


@pytest.mark.parametrize(("split", "where"), [("", ""), ("val", " in val")])
def test_empty_class(split: str, where: str) -> None:
    """A class folder without files is an error that says where it is."""
    error = error_of(image("ants"), image("bees"), empty=((split, "wasps"),))
    assert error.message == f"class 'wasps' has no files{where}"
    assert error.hint == "add images, or remove its folder"


def test_class_without_a_readable_image() -> None:
    """A class of which nothing can be read is an error that gives the reasons, not one class less."""
    error = error_of(image("ants"), image("bees"), unread=(("wasps", None),))
    assert error.message.startswith("class 'wasps' has no image that can be read (")
    assert "bad wasps: the file is empty" in error.message
    assert error.hint == "replace these files, or remove the class"


@pytest.mark.parametrize("twin", ["Ants", "ANTS", "ants ", " Ants"])
def test_case_twins(twin: str) -> None:
    """Names that differ in case or spaces only are one class spelt twice, in one split or across two."""
    error = error_of(image("ants"), image("bees"), image(twin))
    assert "differ only in case or spaces" in error.message
    assert repr(twin) in error.message
    assert "'ants'" in error.message
    assert error.hint == "if they are one class, pass --join-case; else rename one of them"
    assert "differ only" in error_of(image("ants", "train"), image("bees", "train"), image(twin, "val")).message
    assert "differ only" in error_of(image("ants"), image("bees"), empty=(("", twin),)).message


def test_sharp_s_is_a_twin_of_ss() -> None:
    """Case twins are found in every script: Straße and STRASSE are the same word."""
    assert "differ only in case" in error_of(image("Straße"), image("STRASSE")).message


@pytest.mark.parametrize("split", ["val", "test"])
def test_class_that_train_lacks(split: str) -> None:
    """A class in val or test that train lacks cannot be predicted: an error that names it."""
    error = error_of(image("a", "train"), image("b", "train"), *(image(label, split) for label in "abc"))
    assert error.message == f"{split} has the class 'c', which train lacks"
    assert error.hint == "classes are bound by name: check the folder names"


def test_many_classes_that_train_lacks_are_cut_short() -> None:
    """A long list of classes is shown by its first five."""
    extra = [image(f"c{i}", "val") for i in range(7)]
    error = error_of(*(image(label, split) for split in ("train", "val") for label in "ab"), *extra)
    assert error.message == "val has the classes 'c0', 'c1', 'c2', 'c3', 'c4', …, which train lacks"


def test_class_that_val_lacks() -> None:
    """A given val without one of train's classes would choose epochs blindly: an error."""
    error = error_of(*(image(label, "train") for label in "abc"), image("a", "val"))
    assert error.message == "train has the classes 'b', 'c', which val lacks"
    assert error.hint == "add images of every class to val, or give no val"


def test_class_that_test_lacks() -> None:
    """A test split without one of the classes is usable: a note says what the metrics are over."""
    found = dataset(
        *(image(label, split) for split in ("train", "val") for label in "abc"), image("a", "test"), image("b", "test")
    )
    assert found.notes == ("test has no image of the class 'c': its metrics are over the classes present",)


@pytest.mark.parametrize("splits", [("val",), ("test",), ("val", "test")])
def test_no_train(splits: tuple[str, ...]) -> None:
    """Splits without train are an error that says how to name it."""
    error = error_of(*(image(label, split) for split in splits for label in "ab"))
    assert error.message == "there are no train images"
    assert "train" in error.hint


def test_labelled_dataset_is_bound_to_the_models_classes() -> None:
    """For an evaluation the model's order of classes holds; what it does not know is left out by name and noted."""
    images = [image("b"), image("x"), image("a"), image("x", number=1)]
    found = labelled_dataset("set", images, [Skipped("bad", "empty")], ["b", "a", "c"])
    assert found.classes == ("b", "a", "c")
    assert found.labels.tolist() == [0, 1]
    assert [(s.path, s.reason) for s in found.skipped] == [
        ("bad", "empty"),
        ("all/x/0.jpg", "the model does not know the class 'x'"),
        ("all/x/1.jpg", "the model does not know the class 'x'"),
    ]
    assert found.notes == (
        "2 images of 'x' are left out: the model does not know this class",
        "no image of the class 'c': the metrics are over the classes present",
    )


def test_labelled_dataset_of_other_classes() -> None:
    """Data of none of the model's classes is an error that names both sides."""
    with pytest.raises(DataError, match="set has no readable image of the model's classes") as caught:
        labelled_dataset("set", [image("cats"), image("dogs")], [], ["ants", "bees"])
    assert caught.value.hint == "the model knows ants, bees; the data has cats, dogs"


def test_other_spellings_of_the_models_classes() -> None:
    """Labels that are a class of the model in other letters are left out with a word on --join-case."""
    found = labelled_dataset("set", [image("Ants"), image("bees"), image("x")], [], ["ants", "bees"])
    assert found.notes[0].endswith("does not know this class; if it is 'ants', pass --join-case")
    assert found.notes[1].endswith("does not know this class")
    with pytest.raises(DataError) as caught:
        labelled_dataset("set", [image("Ants")], [], ["ants", "bees"])
    assert caught.value.hint.endswith("the data has Ants; if they are the same, pass --join-case")


def test_empty_class_folder_in_test_is_told(draw_classes: Callable[..., Path]) -> None:
    """An empty class folder in test is a class that test lacks: a note, not an error."""
    draw_classes({"circles": 2, "squares": 2}, "shapes/train")
    folder = draw_classes({"circles": 2}, "shapes/test").parent
    (folder / "test" / "squares").mkdir()
    with open_sources(folder) as sources:
        images = [LabelledImage(c.path, c.file, c.label or "", c.split, None, c.path, 96, 80) for c in sources.candidates]
        dataset = training_dataset("shapes", images, (), [sources])
    assert dataset.classes == ("circles", "squares")
    assert "test has no image of the class 'squares'" in dataset.notes[0]


class CountedLabel(str):
    """A label that counts how often it is compared or looked up."""

    n_looks = 0

    def __eq__(self, other: object) -> bool:
        CountedLabel.n_looks += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        CountedLabel.n_looks += 1
        return str.__hash__(self)


def test_many_classes_do_not_multiply_the_work() -> None:
    """A data set of many classes is put together by a few looks at each image's label, not by one for each class."""
    classes = [CountedLabel(f"class {i}") for i in range(200)]
    images = [image(label, split, number) for label in classes for split in ("train", "test") for number in range(3)]
    for make in (lambda: dataset(*images), lambda: labelled_dataset("set", images, [], classes)):
        CountedLabel.n_looks = 0
        assert len(make().labels) == len(images)
        assert CountedLabel.n_looks <= 20 * len(images)


def test_indices_are_computed_once() -> None:
    """Labels and the indices of a split are the same array at each access, which nobody can change for the others."""
    found = dataset(*(image(label, split) for split in ("train", "val") for label in "ab"))
    assert found.labels is found.labels
    assert found.indices_of("val") is found.indices_of("val")
    for array in (found.labels, found.indices_of("val"), found.indices_of("none")):
        assert array.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
