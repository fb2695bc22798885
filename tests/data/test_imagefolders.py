"""Folders of images with a metadata.csv, as `datasets` reads them: the labels are in it where the folders have none."""

from pathlib import Path

import pytest

from data.made_sets import make, read, rows, table
from headstart.errors import DataError


def test_labels_beside_the_images(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "sub/b.jpg")
    table(tmp_path, "file_name,label\na.jpg,ants\nsub/b.jpg,bees\n", "metadata.csv")
    sources = read(tmp_path)
    assert rows(sources) == [("a.jpg", "ants", None), ("b.jpg", "bees", None)]
    assert (sources.name, sources.notes[0]) == (tmp_path.name, "the labels are from metadata.csv")


def test_one_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        make(tmp_path / split, f"{split}1.jpg", f"{split}2.jpg")
        table(tmp_path / split, f"file_name,label\n{split}1.jpg,ants\n{split}2.jpg,bees\n", "metadata.csv")
    sources = read(tmp_path)
    assert rows(sources) == [
        ("train1.jpg", "ants", "train"),
        ("train2.jpg", "bees", "train"),
        ("validation1.jpg", "ants", "val"),
        ("validation2.jpg", "bees", "val"),
    ]
    assert sources.notes[0] == "the labels are from the metadata.csv of each split"


def test_class_folders_count_before_it(tmp_path: Path) -> None:
    make(tmp_path, "ants/a.jpg", "bees/b.jpg")
    table(tmp_path, "file_name,label\nants/a.jpg,x\nbees/b.jpg,y\n", "metadata.csv")
    sources = read(tmp_path)
    assert [label for _, label, _ in rows(sources)] == ["ants", "bees"]
    assert "metadata.csv is not used" in sources.notes[-1]


def test_captions_are_no_labels(tmp_path: Path) -> None:
    """A metadata.csv without a label is told, as any table without one is."""
    make(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "file_name,text\na.jpg,an ant\nb.jpg,a bee\n", "metadata.csv")
    with pytest.raises(DataError):
        read(tmp_path)
