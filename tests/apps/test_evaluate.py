"""`headstart evaluate`: the same numbers as training gave for the same images, and a word where they flatter."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]


def metrics_of(run: SavedRun) -> dict[str, Any]:
    """What training wrote."""
    values: dict[str, Any] = json.loads((run.run / "metrics.json").read_text(encoding="utf-8"))
    return values


def only_json(result: Result) -> dict[str, Any]:
    """The one JSON object that stdout is."""
    assert result.code == 0, result
    assert result.out.count("\n") == 1
    values: dict[str, Any] = json.loads(result.out)
    return values


def assert_same_evaluation(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Equal counts and classes; shares and losses as near as probabilities are."""
    assert found.keys() == wanted.keys()
    for name in ("split", "n", "selected_on", "accuracy", "accuracy_ci95", "confusion", "per_class"):
        assert found[name] == wanted[name], name
    for name in ("log_loss", "ece", "macro_f1"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-4)


@pytest.mark.parametrize("split", [[], ["--split", "val"]], ids=["by default", "--split val"])
def test_val_gives_training_s_numbers(headstart: Command, saved_run: SavedRun, split: list[str]) -> None:
    """On the data it was trained from, the val split is taken where there is no test, and its numbers are training's."""
    result = headstart("evaluate", saved_run.run, saved_run.data, *split, "--json")
    values, wanted = only_json(result), metrics_of(saved_run)
    assert_same_evaluation(values["evaluation"], wanted["evaluation"])
    assert values["images"]["trained_on"] == 0
    assert "trained on" not in result.err


def test_json_frame(headstart: Command, saved_run: SavedRun) -> None:
    """--json prints the frame of metrics.json, in one object on stdout."""
    values, wanted = only_json(headstart("evaluate", saved_run.run, saved_run.data, "--json")), metrics_of(saved_run)
    frame = {"format", "strategy", "requested", "recipe", "backbone", "classes", "images", "evaluation", "seconds"}
    assert frame | {"peak_rss_mb", "interrupted", "run", "model"} <= set(values)
    for name in ("format", "strategy", "requested", "recipe", "backbone", "classes"):
        assert values[name] == wanted[name], name
    assert values["model"] == saved_run.run.as_posix()


def test_images_that_were_trained_on(headstart: Command, saved_run: SavedRun) -> None:
    """Evaluating on images that were trained on is told on stderr and counted in the JSON."""
    result = headstart("evaluate", saved_run.run, saved_run.data, "--split", "all", "--json")
    values = only_json(result)
    assert values["evaluation"]["n"] == 57  # 36 of train, 21 of val
    assert values["images"]["trained_on"] == 36
    assert "36 of these 57 images were used for training" in result.err
    assert "too optimistic" in result.err
    assert result.err.count("skipped ") == 2


def test_copies_under_other_names_are_known(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """An image that was trained on is recognised by its bytes, wherever it lies and whatever it is called."""
    for label in ("circles", "squares"):
        (tmp_path / "new" / label).mkdir(parents=True)
        shutil.copy(saved_run.data / "train" / label / f"{label} 0.png", tmp_path / "new" / label / "copy.png")
        shutil.copy(saved_run.data / "val" / label / f"{label} 0.png", tmp_path / "new" / label / "fresh.png")
    result = headstart("evaluate", saved_run.run, tmp_path / "new", "--json")
    assert only_json(result)["images"]["trained_on"] == 2
    assert only_json(result)["evaluation"]["split"] == "all"
    assert "2 of these 4 images" in result.err


def test_test_split_comes_first(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """Where the data has a test split that is what is evaluated unless another is named."""
    shutil.copytree(saved_run.data / "val", tmp_path / "d" / "test")
    shutil.copytree(saved_run.data / "val", tmp_path / "d" / "val")
    (tmp_path / "d" / "test" / "circles" / "circles 0.png").unlink()
    assert only_json(headstart("evaluate", saved_run.run, tmp_path / "d", "--json"))["evaluation"]["split"] == "test"
    for split, n in (("test", 20), ("val", 21), ("all", 41)):
        values = only_json(headstart("evaluate", saved_run.run, tmp_path / "d", "--split", split, "--json"))
        assert (values["evaluation"]["split"], values["evaluation"]["n"]) == (split, n)
        assert values["images"][split] == n


def test_unknown_labels_are_left_out(headstart: Command, saved_run: SavedRun, tmp_path: Path) -> None:
    """Labels that the model does not know are left out and told; a class without images too; labels are bound by name."""
    data = tmp_path / "d"
    shutil.copytree(saved_run.data / "val" / "squares", data / "squares")
    shutil.copytree(saved_run.data / "val" / "triangles", data / "triangles")
    shutil.copytree(saved_run.data / "val" / "circles", data / "aardvarks")  # sorts before every known class
    result = headstart("evaluate", saved_run.run, data, "--json")
    values = only_json(result)
    assert "7 images of 'aardvarks' are left out" in result.err
    assert "no image of the class 'circles'" in result.err
    assert values["evaluation"]["n"] == 14
    wanted = {entry["class"]: entry for entry in metrics_of(saved_run)["evaluation"]["per_class"]}
    found = {entry["class"]: entry for entry in values["evaluation"]["per_class"]}
    assert (found["circles"]["n"], found["circles"]["recall"]) == (0, None)
    for name in ("squares", "triangles"):
        assert (found[name]["n"], found[name]["recall"]) == (7, wanted[name]["recall"])


def test_without_json(headstart: Command, saved_run: SavedRun) -> None:
    """Without --json stdout is the claim in one sentence and a line a class."""
    result = headstart("evaluate", saved_run.run, saved_run.data)
    evaluation = metrics_of(saved_run)["evaluation"]
    claim, numbers, header, *lines = result.out.splitlines()
    assert claim.startswith(f"{evaluation['accuracy']:.1%} of 21 validation images")
    assert f"macro-F1 {evaluation['macro_f1']:.3f}" in numbers
    assert header.split() == ["class", "images", "precision", "recall", "F1"]
    wanted = [
        [entry["class"], str(entry["n"]), *(f"{entry[name]:.3f}" for name in ("precision", "recall", "f1"))]
        for entry in evaluation["per_class"]
    ]
    assert [line.split() for line in lines] == wanted
    assert {len(line) for line in (header, *lines)} == {len(header)}, "the columns do not stand below their names"


def test_review(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """--review gives the accuracy with wrong labels taken out, in a sentence and in the JSON; the naive numbers stay."""
    rows = "".join(f"{path},{label}\n" for path, label in saved_run.labels.items())
    (here / "review.csv").write_text(f"path,label\n{rows}", encoding="utf-8")
    values = only_json(headstart("evaluate", saved_run.run, saved_run.data, "--review", "review.csv", "--json"))
    reviewed, wanted = values["reviewed"], metrics_of(saved_run)["evaluation"]
    assert reviewed["accuracy"] == reviewed["naive"] == wanted["accuracy"] == values["evaluation"]["accuracy"]
    assert reviewed["of_these_ci95"] == [wanted["accuracy"]] * 2  # every image was looked at
    assert reviewed["agreements"]["n"] + reviewed["mistakes"]["n"] == reviewed["n"] == 21
    assert reviewed["mistakes"]["n_wrong_labels"] == 0
    out = headstart("evaluate", saved_run.run, saved_run.data, "--review", "review.csv").out
    assert f"with wrong labels taken out: {reviewed['sentence']}" in out
    assert only_json(headstart("evaluate", saved_run.run, saved_run.data, "--json"))["reviewed"] is None


def test_review_that_corrects(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """A mistake whose label is corrected to the model's answer counts as right; paths may be relative to DATA."""
    run = metrics_of(saved_run)["evaluation"]
    predictions = (saved_run.run / "predictions.csv").read_text(encoding="utf-8").splitlines()
    header = predictions[0].split(",")
    answers = {line.split(",")[header.index("path")]: line.split(",")[header.index("predicted")] for line in predictions[1:]}
    rows = [f"{Path(path).relative_to(saved_run.data).as_posix()},{answers[path]}" for path in saved_run.labels]
    (here / "review.csv").write_text("path,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = headstart("evaluate", saved_run.run, saved_run.data, "--review", "review.csv", "--json")
    reviewed = only_json(result)["reviewed"]
    assert reviewed["accuracy"] == 1
    assert reviewed["mistakes"]["n_wrong_labels"] == reviewed["mistakes"]["n"] == round(21 * (1 - run["accuracy"]))


def test_nothing_is_changed(headstart: Command, saved_run: SavedRun, here: Path) -> None:
    """Evaluating changes neither the images nor the model, and writes nothing."""
    before = snapshot(saved_run.data), snapshot(saved_run.run)
    assert headstart("evaluate", saved_run.model, saved_run.data).code == 0
    assert (snapshot(saved_run.data), snapshot(saved_run.run)) == before
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--split", "test"], ["shapes has no test split", "train, val"]),
        (["--device", "cuda:99"], ["is not available"]),
        (["--review", "nowhere.csv"], ["nowhere.csv cannot be read"]),
    ],
    ids=" ".join,
)
def test_bad_options(headstart: Command, saved_run: SavedRun, arguments: list[str], words: list[str]) -> None:
    """A split that the data lacks, or a device that the machine lacks: a sentence and a hint."""
    assert_explained(headstart("evaluate", saved_run.run, saved_run.data, "--json", *arguments), *words)


@pytest.mark.parametrize(
    ("model", "data", "word"),
    [
        ("nowhere", "data", "there is no nowhere"),
        ("model", "nowhere", "no nowhere"),
        ("model", "empty", "no class folders"),
        ("model", "others", "no readable image of the model's classes"),
        ("model", "broken", "no readable image"),
        ("data", "data", "contains no model"),
        ("model", "model", "no class folders"),
    ],
)
def test_bad_arguments(headstart: Command, saved_run: SavedRun, here: Path, model: str, data: str, word: str) -> None:
    """MODEL or DATA that cannot be used: a sentence and a hint, exit code 1, nothing on stdout."""
    shutil.copytree(saved_run.model, here / "model")
    shutil.copytree(saved_run.data / "val", here / "data")
    (here / "empty").mkdir()
    shutil.copytree(saved_run.data / "val" / "circles", here / "others" / "ovals")
    (here / "broken" / "circles").mkdir(parents=True)
    (here / "broken" / "circles" / "a.png").write_text("hello")
    assert_explained(headstart("evaluate", model, data, "--json"), word)
