"""A table of true labels is matched with the images that it names, and what cannot be matched is said."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.true_labels import read_true_labels
from headstart.errors import DataError

Write = Callable[[Sequence[Sequence[str]]], Path]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four images of cats and dogs in photos/val."""
    names = [("cats", "1.jpg"), ("cats", "2.jpg"), ("dogs", "1.jpg"), ("dogs", "3.jpg")]
    images = []
    for label, name in names:
        file = tmp_path / "photos" / "val" / label / name
        images.append(LabelledImage(str(file), file, label, "val", None, "0" * 64, 10, 10))
    return Dataset("photos", tuple(images), ("cats", "dogs"), ())


@pytest.fixture
def table(tmp_path: Path) -> Write:
    """Writes rows of path and label."""

    def write(rows: Sequence[Sequence[str]], names: Sequence[str] = ("path", "label")) -> Path:
        with (tmp_path / "review.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *rows])
        return tmp_path / "review.csv"

    return write


def test_paths_in_every_form(dataset: Dataset, table: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As shown, relative to the table, to the current folder, or to the folder of the data set."""
    monkeypatch.chdir(tmp_path / "..")
    here = f"{tmp_path.name}/photos/val/dogs/1.jpg"
    rows = [(dataset.images[0].path, "dogs"), ("photos/val/cats/2.jpg", "cats"), (here, "dogs"), ("val/dogs/3.jpg", "cats")]
    found = read_true_labels(table(rows), dataset, f"{tmp_path}/photos/")
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.notes == ()


def test_what_is_left_out_is_said(dataset: Dataset, table: Write) -> None:
    """Images without a label were not reviewed; other images and other classes are counted."""
    rows = [
        ("photos/val/cats/1.jpg", "cats"),
        ("photos/val/cats/1.jpg", "cats"),
        ("photos/val/cats/2.jpg", ""),
        ("photos/val/dogs/1.jpg", "foxes"),
        ("photos/train/dogs/9.jpg", "dogs"),
    ]
    found = read_true_labels(table(rows), dataset)
    assert (found.rows.tolist(), found.labels.tolist()) == ([0, 2], [0, -1])
    one, other, third = found.notes
    assert "1 image" in one
    assert "not reviewed" in one
    assert "1 path" in other
    assert "photos/train/dogs/9.jpg" in other
    assert third == "1 reviewed image of 'foxes' left out: the model does not know this class"


def test_letter_case(dataset: Dataset, table: Write) -> None:
    """Only if spellings are joined is Cats the class cats."""
    file = table([("photos/val/cats/1.jpg", "Cats"), ("photos/val/cats/2.jpg", "dogs")])
    assert read_true_labels(file, dataset).labels.tolist() == [-1, 1]
    assert read_true_labels(file, dataset, join_case=True).labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("photos/val/cats/1.jpg", "cats"), ("photos/val/cats/1.jpg", "dogs")], "the labels 'cats' and 'dogs'"),
        ([("nowhere.jpg", "cats")], "the first is nowhere.jpg"),
        ([("photos/val/cats/1.jpg", "")], "has a label"),
        ([], "has a label"),
        ([("photos/val/cats/1.jpg", "kat")], "no label in .* the first is 'kat'"),
    ],
)
def test_what_cannot_be_used(dataset: Dataset, table: Write, rows: list[tuple[str, str]], words: str) -> None:
    """Two labels for an image, no image of the data, no label, no known class: one sentence and a hint."""
    with pytest.raises(DataError, match=words) as caught:
        read_true_labels(table(rows), dataset)
    assert caught.value.hint


def test_columns_are_needed(dataset: Dataset, tmp_path: Path) -> None:
    """A table without one of the columns is refused by its name."""
    (tmp_path / "review.csv").write_text("path,truth\na.jpg,cats\n")
    with pytest.raises(DataError, match="no column label"):
        read_true_labels(tmp_path / "review.csv", dataset)
