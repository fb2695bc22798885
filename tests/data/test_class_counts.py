"""One line on the classes that were found."""

from pathlib import Path

from headstart.data.class_counts import classes_found
from headstart.data.sources import Candidate, Sources


def sources(*counts: tuple[str, str | None, int]) -> Sources:
    """`count` candidates of each class and split."""
    candidates = (Candidate("x", Path("x"), label, split) for label, split, count in counts for _ in range(count))
    return Sources("set", tuple(candidates))


def test_without_splits() -> None:
    """Every class with its files, 2 before 10."""
    assert classes_found([sources(("10", None, 3), ("2", None, 1))]) == "2 classes in 4 files: 2 1, 10 3"


def test_with_splits() -> None:
    """The files of each split, in the order train, val, test, over all sources."""
    given = [sources(("ants", "train", 124), ("bees", "train", 121)), sources(("bees", "val", 83))]
    assert classes_found(given) == "2 classes in 328 files (train/val): ants 124/0, bees 121/83"


def test_many_classes() -> None:
    """Of many classes the first are named and the others counted."""
    line = classes_found([sources(*((f"class {i}", None, 1) for i in range(1200)))])
    assert line.startswith("1,200 classes in 1,200 files: class 0 1, class 1 1, ")
    assert line.endswith("class 7 1, … and 1192 more")


def test_one_class() -> None:
    """One class and one file are written as one."""
    assert classes_found([sources(("ants", None, 1))]) == "1 class in 1 file: ants 1"
