"""A folder of images without labels becomes a classifier."""

import csv
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS, TINY

from apps.conftest import Result
from apps.studio.conftest import Studio, draw, studio_of


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """A studio on 30 drawn shapes, all in one folder, of which the tests, in their order, label more and more."""
    root = tmp_path_factory.mktemp("unlabelled")
    data = draw(root / "photos", dict.fromkeys(COLOURS, 10), flat=True)
    with studio_of(data, root / "project", home=home, weights=tiny_weights) as started:
        yield started


def shape(studio: Studio, row: int) -> str:
    """What is drawn on a picture."""
    return Path(studio.row(row)["path"]).name.partition("-")[0]


def label(studio: Studio, row: int) -> None:
    """Gives a picture its label, made if it is new."""
    wish = {"rows": [row], "label": shape(studio, row), "why": "label:next", "expected": studio.last}
    assert studio.post("/api/decisions", wish).status_code == 200


def test_there_is_nothing_yet(studio: Studio) -> None:
    """No classes and no model; all images wait for a label, and those asked for come."""
    assert studio.get("/api/project")["classes"] == []
    model = studio.get("/api/model")
    assert (model["accuracy"], model["n_labelled"]) == (None, 0)
    (queue,) = [one for one in studio.get("/api/queues") if one["name"] == "next"]
    assert (queue["n"], queue["done"]) == (30, 0)
    items = studio.queue("next", 7)
    assert len({item["row"] for item in items}) == 7 and all(item["sentence"] for item in items)
    assert studio.get("/api/reviewed")["n_needed"] == 0
    assert studio.order(unlabelled=True) == list(range(30))


def test_what_is_skipped_or_left_out_does_not_come_again(studio: Studio) -> None:
    """An image that was skipped or excluded leaves the queue; taken back, it can come again."""
    (first, second) = [item["row"] for item in studio.queue("next", 2)]
    studio.decide([first], "skip:next")
    studio.decide([second], "exclude:next", excluded=True)
    waiting = [item["row"] for item in studio.queue("next", 200)]
    assert len(waiting) == 28 and not {first, second} & set(waiting)
    assert studio.get("/api/queues")[0]["n"] == 28
    studio.post("/api/undo"), studio.post("/api/undo")
    assert len(studio.queue("next", 200)) == 30


def test_few_labels_make_a_model(studio: Studio) -> None:
    """Two classes suffice for suggestions; ten labels for an accuracy."""
    while len(studio.get("/api/project")["classes"]) < 2:
        label(studio, studio.queue("next", 1)[0]["row"])
    studio.until(lambda: (studio.column("predicted") >= 0).all())
    while len(set(studio.column("label").tolist())) < 4 or (studio.column("label") >= 0).sum() < 12:
        label(studio, studio.queue("next", 1)[0]["row"])
    model = studio.await_model()
    assert model["n_labelled"] >= 12 and model["accuracy_ci95"][0] < model["accuracy"]
    item = studio.queue("next", 1)[0]
    assert item["suggestion"] is not None and item["for"]


def test_the_sample_grows_with_the_labels(studio: Studio) -> None:
    """A sample that nobody has begun to review is drawn anew when there are many more labels."""
    before = studio.get("/api/reviewed")["n_needed"]
    version = studio.get("/api/model")["version"]
    for item in studio.queue("next", 200):
        label(studio, item["row"])
    assert studio.queue("next") == []
    studio.until(lambda: studio.get("/api/model")["version"] > version and studio.get("/api/reviewed")["n_needed"] > before)


def test_tables(studio: Studio) -> None:
    """On request the labels and exclusions are written as tables."""
    out = studio.order()[0]
    studio.decide([out], "exclude", excluded=True)
    paths = studio.post("/api/export").json()
    assert labelled(Path(paths["labels"])) == {
        path: path.name.partition("-")[0] for path in studio.data.iterdir() if path.name != studio.row(out)["path"]
    }
    excluded = list(csv.DictReader(Path(paths["exclude"]).read_text().splitlines()))
    assert [Path(row["path"]).name for row in excluded] == [studio.row(out)["path"]]


def labelled(table: Path) -> dict[Path, str]:
    """Path -> label, as a table has it."""
    return {Path(row["path"]): row["label"] for row in csv.DictReader(table.read_text().splitlines())}


def test_the_end(studio: Studio, headstart: Callable[..., Result], tiny_weights: Path, tmp_path: Path) -> None:
    """SIGTERM writes the tables too and ends without a word, also while a page waits; `train` takes the project."""
    studio.post("/api/undo")
    table = studio.project / "labels.csv"
    table.unlink()
    found = studio.get("/api/project")
    waits = {"since": found["last"], "model": found["model"], "n_read": 30, "map": 0}
    waiting = threading.Thread(target=lambda: studio.get("/api/changes", params=waits))
    waiting.start()
    assert studio.end() == (0, "")
    waiting.join()
    assert len(labelled(table)) == 30
    result = headstart(
        "train", studio.data, "--labels", studio.project, "--output", tmp_path / "run", "--json",
        "--strategy", "probe", "--effort", "quick", "--backbone", TINY, "--weights", tiny_weights,
    )  # fmt: skip
    assert result.code == 0, result.err
    manifest: Any = json.loads((tmp_path / "run" / "model" / "manifest.json").read_text())
    assert sorted(manifest["classes"]) == sorted(COLOURS)
