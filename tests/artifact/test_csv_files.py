"""The CSV files of a run open in every program, and lose nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun

from headstart.artifact.csv_files import (
    prediction_cells,
    prediction_header,
    write_history,
    write_predictions,
    write_skipped,
)
from headstart.data.sources import Skipped
from headstart.model.history import Epoch
from headstart.storage import write_csv

CLASSES = ("plain", "with, comma", 'with "quotes"', "with\nnew line", "größe 大きさ 🙂", "=1+1", "p:x", " spaced ")


def read(file: Path) -> list[list[str]]:
    """The table as Python's csv module sees it."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines, strict=True))


def test_predictions(tmp_path: Path) -> None:
    """predictions.csv has path, label, predicted, probability and a column a class, whatever the classes are called."""
    shares = np.random.default_rng(0).dirichlet(np.ones(len(CLASSES)), size=5)
    paths = [f'folder, {i}/"ä" 🙂.png' for i in range(5)]
    write_predictions(tmp_path / "p.csv", paths, CLASSES[:5], shares, CLASSES)
    header, *rows = read(tmp_path / "p.csv")
    assert header == ["path", "label", "predicted", "probability", *(f"p:{name}" for name in CLASSES)]
    assert [row[0] for row in rows] == paths
    assert [row[1] for row in rows] == list(CLASSES[:5])
    assert [row[2] for row in rows] == [CLASSES[i] for i in shares.argmax(axis=1)]
    assert [float(row[3]) for row in rows] == list(shares.max(axis=1))
    assert np.array_equal(np.array([row[4:] for row in rows], dtype=float), shares)


@pytest.mark.parametrize("value", [1 / 3, 1e-300, 5e-324, 1 - 2**-53, 0.0, 1.0])
def test_every_digit_is_kept(value: float) -> None:
    """A probability read back is the very number that was written."""
    cells = prediction_cells(np.array([value, 0.0]), ("a", "b"))
    assert float(str(cells[1])) == value
    assert all(type(cell) is float for cell in cells[1:])


def test_ties_go_to_the_first_class() -> None:
    """Of equally probable classes the first is predicted, in every file and on every engine."""
    assert prediction_cells(np.array([0.2, 0.4, 0.4]), ("a", "b", "c"))[0] == "b"


def test_header() -> None:
    """The columns that name a prediction are the contract's."""
    assert prediction_header(("ants", "bees")) == ["predicted", "probability", "p:ants", "p:bees"]


def test_history(tmp_path: Path) -> None:
    """history.csv has the contract's columns and a row an epoch; without val its cells are empty."""
    rows = [
        Epoch(epoch=0, lr=0.0, train_loss=0.5, train_accuracy=0.75, val_loss=None, val_accuracy=None, seconds=0.0),
        Epoch(epoch=1, lr=1e-3, train_loss=1 / 3, train_accuracy=1.0, val_loss=0.25, val_accuracy=0.5, seconds=2.5),
    ]
    write_history(tmp_path / "h.csv", rows)
    assert read(tmp_path / "h.csv") == [
        ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"],
        ["0", "0.0", "0.5", "0.75", "", "", "0.0"],
        ["1", "0.001", repr(1 / 3), "1.0", "0.25", "0.5", "2.5"],
    ]


def test_skipped(tmp_path: Path) -> None:
    """skipped.csv has a row for each file that was not used; without any it is a header."""
    write_skipped(tmp_path / "s.csv", [Skipped("a,b.png", "the file is empty"), Skipped("c.jpg", 'says "no"')])
    assert read(tmp_path / "s.csv") == [["path", "reason"], ["a,b.png", "the file is empty"], ["c.jpg", 'says "no"']]
    write_skipped(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_bytes() == b"path,reason\n"


def test_bytes(tmp_path: Path) -> None:
    """UTF-8 without a byte order mark, a line feed at each row's end on every platform."""
    write_csv(tmp_path / "t.csv", ["größe", "b"], [[1, None], ["x", 0.5]])
    assert (tmp_path / "t.csv").read_bytes() == "größe,b\n1,\nx,0.5\n".encode()


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    """A table whose rows fail half way leaves the earlier file as it was, and nothing beside it."""
    file = tmp_path / "t.csv"
    write_csv(file, ["a"], [[1]])
    with pytest.raises(ZeroDivisionError):
        write_csv(file, ["a"], ([1 / i] for i in (2, 1, 0)))
    assert file.read_bytes() == b"a\n1\n"
    assert list(tmp_path.iterdir()) == [file]


def test_the_tables_of_a_run(saved_run: SavedRun) -> None:
    """A run's tables agree with its metrics: as many rows as images, files skipped and epochs, and the same accuracy."""
    metrics = json.loads((saved_run.run / "metrics.json").read_text(encoding="utf-8"))
    header, *predictions = read(saved_run.run / "predictions.csv")
    assert header == ["path", "label", "predicted", "probability", "p:circles", "p:squares", "p:triangles"]
    assert {row[0]: row[1] for row in predictions} == saved_run.labels
    right = sum(row[1] == row[2] for row in predictions)
    assert metrics["evaluation"]["n"] == len(predictions)
    assert metrics["evaluation"]["accuracy"] == pytest.approx(right / len(predictions))
    skipped = read(saved_run.run / "skipped.csv")[1:]
    assert {Path(path).name for path, _ in skipped} == {"notes.jpg", "empty.png"}
    assert metrics["images"]["skipped"] == len(skipped) == 2
    assert [row[0] for row in read(saved_run.run / "history.csv")] == ["epoch", "0"]
