"""--labels: what people decided in a project counts in train, audit, compare and evaluate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS, TINY, SavedRun

from apps.conftest import Result, assert_explained, snapshot
from headstart.artifact.manifest import read_manifest
from headstart.data.decided import Change, ImageKey, State
from headstart.data.label_log import LabelLog
from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.data.relabelling import LABELS, paths_in
from headstart.data.sources import digest_of
from headstart.errors import SettingsError
from headstart.runs.classifier import ImageClassifier
from headstart.settings import TrainSettings

Command = Callable[..., Result]
Draw = Callable[..., Path]
CLASSES = sorted(COLOURS)


def decide(project: Path, data: Path, decision: Callable[[str], State | None]) -> None:
    """Decides on the files as a studio would: `decision` is given each path."""
    project.mkdir(exist_ok=True)
    with open_sources(data, Reading(with_unlabelled=True)) as sources, LabelLog.open(project / LABELS) as log:
        for path, candidate in zip(paths_in(sources), sources.candidates, strict=True):
            new = decision(path)
            if new is not None:
                key = ImageKey(digest_of(candidate), path)
                log.decide([Change(key, State(candidate.label), new)], who="a", why="label")


def used(project: Path) -> dict[str, object]:
    with LabelLog.open(project / LABELS) as log:
        return {"digest": log.digest(), "decisions": log.last}


def metrics_of(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return values


@pytest.fixture
def mislabelled(draw_classes: Draw) -> Path:
    """Three classes of 10, where half of the squares lie among the circles."""
    data = draw_classes(dict.fromkeys(CLASSES, 10))
    for i in range(5):
        (data / "squares" / f"squares-{i}.png").rename(data / "circles" / f"squares-{i}.png")
    return data


def by_shape(path: str) -> State | None:
    """The true class where the folder is another; one image is left out."""
    name, folder = Path(path).name, Path(path).parent.name
    if name == "triangles-9.png":
        return State("triangles", excluded=True)
    return None if name.startswith(folder) else State(name.partition("-")[0])


def test_train_with_a_project(quick: Command, mislabelled: Path, tmp_path: Path, here: Path) -> None:
    """Labels and exclusions are the project's; the run and the model say which, and no file was touched."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    before = snapshot(mislabelled), snapshot(project)
    plain = quick(mislabelled, "--strategy", "probe", "--output", here / "plain", "--json")
    assert (plain.code, json.loads(plain.out)["labels"]) == (0, None)
    result = quick(mislabelled, "--strategy", "probe", "--output", here / "run", "--labels", project, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["labels"] == used(project) == {"digest": found["labels"]["digest"], "decisions": 6}
    assert "by the labels of the project: 5 images relabelled, 1 image excluded" in found["notes"]
    manifest = read_manifest(here / "run" / "model")
    assert manifest.data.labels is not None
    assert manifest.data.labels.as_json() == used(project)
    assert [sum(of_class) for of_class in zip(*manifest.data.counts.values(), strict=True)] == [10, 10, 9]
    assert read_manifest(here / "plain" / "model").data.labels is None
    assert "excluded: decided in the studio" in (here / "run" / "skipped.csv").read_text()
    assert (snapshot(mislabelled), snapshot(project)) == before


@pytest.mark.filterwarnings("always::headstart.errors.HeadstartWarning")
def test_a_run_with_a_project_is_extended(
    quick: Command, headstart: Command, mislabelled: Path, draw_classes: Draw, tmp_path: Path, here: Path
) -> None:
    """--labels of the run counts again, for its images where they are, also if DATA has only new ones; it is of now."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    chosen = ("--strategy", "probe", "--view", "crop", "--labels", project, "--output", "run")
    assert quick(mislabelled, *chosen).code == 0
    new = draw_classes({"circles": 4, "squares": 1}, "new", seed=3)
    other = "squares-9.png"
    decide(project, mislabelled, lambda path: State("circles") if Path(path).name == other else None)
    result = headstart("train", new, "--extend", "run", "--output", "more", "--json")
    assert result.code == 0, result.err
    assert "that are not in the data: 1; the first is triangles/triangles-9.png" in result.err  # the excluded one
    images = json.loads(result.out)["extended"]["images"]
    assert (images["kept"], images["new"], images["relabelled"]) == (29, 5, 1)
    counts = read_manifest(here / "more" / "model").data.counts
    assert [sum(of_class) for of_class in zip(*counts.values(), strict=True)] == [15, 10, 9]


@pytest.mark.parametrize(("folder", "label"), [("circles", "circles"), ("stars", "stars"), ("images", None), ("test", None)])
@pytest.mark.filterwarnings("always::headstart.errors.HeadstartWarning")
def test_one_folder_of_new_images(
    folder: str,
    label: str | None,
    quick: Command,
    headstart: Command,
    mislabelled: Path,
    draw_classes: Draw,
    tmp_path: Path,
    here: Path,
) -> None:
    """Added to a run with a project, one folder is a class, known or new, and that is said; not if its name says none."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    chosen = ("--strategy", "probe", "--view", "crop", "--labels", project, "--output", "run")
    assert quick(mislabelled, *chosen).code == 0
    new = draw_classes({"circles": 6}, "new", seed=3)
    (new / "circles").rename(new / folder)
    result = headstart("train", new, "--extend", "run", "--output", "more", "--json")
    assert result.code == 0, result.err
    images = json.loads(result.out)["extended"]["images"]
    assert (images["kept"], images["new"]) == (29, 6 if label else 0)
    assert images["classes_added"] == (["stars"] if label == "stars" else [])
    said = f"all images are in one folder, {folder}: it is read as the class {folder!r}"
    assert (said in result.err) is (label is not None)
    assert ("6 images have no label: not used" in result.err) is (label is None)
    decide(project, new, lambda path: State("squares") if path.endswith("-0.png") else None)
    again = headstart("train", new, "--extend", "run", "--output", "again", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["extended"]["images"]["new"] == (6 if label else 1)
    counts = read_manifest(here / "again" / "model").data.counts
    by_class = dict(zip(json.loads(again.out)["classes"], [sum(n) for n in zip(*counts.values(), strict=True)], strict=True))
    assert by_class["squares"] == 10 + 1  # what the project says comes first
    if label == "stars":  # a chain: the folder of one class is where images of the run were
        further = headstart("train", draw_classes({"squares": 3}, "further", seed=5), "--extend", "again", "--json")
        assert further.code == 0, further.err
        assert json.loads(further.out)["extended"]["images"]["kept"] == 29 + 6


def test_train_on_images_without_labels(quick: Command, draw_classes: Draw, tmp_path: Path, here: Path) -> None:
    """A folder of loose images becomes a classifier with the labels of a project; what has none yet is counted."""
    classes, data = draw_classes(dict.fromkeys(CLASSES, 8)), tmp_path / "photos"
    data.mkdir()
    for file in classes.rglob("*.png"):
        file.rename(data / file.name)
    assert_explained(quick(data, "--strategy", "probe"), "no class folders")
    project = tmp_path / "project"
    decide(project, data, lambda path: None if "-7" in path else State(path.partition("-")[0]))
    result = quick(data, "--strategy", "probe", "--output", here / "run", "--labels", project)
    assert result.code == 0, result.err
    assert "3 classes in 21 files: circles 7, squares 7, triangles 7" in result.err
    assert "3 images have no label: not used" in result.err
    assert metrics_of(here / "run")["images"]["skipped"] == 3


def test_the_others_with_a_project(
    headstart: Command, mislabelled: Path, tiny_weights: Path, saved_run: SavedRun, tmp_path: Path, here: Path
) -> None:
    """audit, compare and evaluate see the same labels."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    network = ("--backbone", TINY, "--weights", tiny_weights)
    audited = headstart("audit", mislabelled, "--labels", project, *network, "--json", "--output", here / "audit")
    assert audited.code == 0, audited.err
    assert json.loads(audited.out)["images"] == 29
    scores = (here / "audit" / "scores.csv").read_text().splitlines()
    assert sum(line.split(",")[1] == "squares" for line in scores) == 10
    # An image that a person excluded is no file that cannot be used.
    assert json.loads(audited.out)["counts"]["unreadable"]["warning"] == 0
    evaluated = headstart("evaluate", saved_run.run, mislabelled, "--labels", project, "--json")
    assert evaluated.code == 0, evaluated.err
    found = json.loads(evaluated.out)
    assert (found["evaluation"]["n"], found["labels"]) == (29, used(project))
    assert {c["class"]: c["n"] for c in found["evaluation"]["per_class"]} == {"circles": 10, "squares": 10, "triangles": 9}
    plain = json.loads(headstart("evaluate", saved_run.run, mislabelled, "--json").out)
    assert (plain["evaluation"]["n"], plain["labels"]) == (30, None)
    assert plain["evaluation"]["accuracy"] < found["evaluation"]["accuracy"]


def test_compare_with_a_project(headstart: Command, mislabelled: Path, tmp_path: Path) -> None:
    """compare leaves out what the project excludes."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    compared = headstart("compare", mislabelled, "--strategies", "probe", "--labels", project, "--json", "--effort", "quick")
    assert compared.code == 0, compared.err
    assert (json.loads(compared.out)["n"], json.loads(compared.out)["skipped"]) == (29, 1)


def test_a_project_that_does_not_fit(quick: Command, mislabelled: Path, draw_classes: Draw, tmp_path: Path) -> None:
    """No project, a damaged one, and one of other images are told in a sentence."""
    assert_explained(quick(mislabelled, "--labels", tmp_path / "none"), "there are no labels in")
    project = tmp_path / "project"
    decide(project, draw_classes(dict.fromkeys(CLASSES, 2), "other"), lambda path: State("circles"))
    assert_explained(quick(mislabelled, "--labels", project), "no decision in", "is about an image of the data")
    (project / LABELS).write_bytes((project / LABELS).read_bytes()[:5000])
    assert_explained(quick(mislabelled, "--labels", project), "is damaged")


@pytest.mark.filterwarnings("default")
def test_a_file_that_changed_is_told(quick: Command, mislabelled: Path, tmp_path: Path, here: Path) -> None:
    """The command warns of a decision on a file that holds another image now, and trains without it."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    (mislabelled / "circles" / "squares-0.png").write_bytes((mislabelled / "circles" / "circles-0.png").read_bytes())
    result = quick(mislabelled, "--strategy", "probe", "--output", here / "run", "--labels", project)
    assert result.code == 0, result.err
    assert "files that have changed since they were decided on" in result.err
    assert "by the labels of the project: 4 images relabelled" in result.err


@pytest.mark.process
def test_a_resumed_run_keeps_its_labels(
    signalled: Callable[..., Result], headstart: Command, mislabelled: Path, tiny_weights: Path, tmp_path: Path, here: Path
) -> None:
    """What is decided while a run is killed and resumed has no effect on it, and the run says which labels it used."""
    project = tmp_path / "project"
    decide(project, mislabelled, by_shape)
    before = used(project)
    network = ("--backbone", TINY, "--weights", tiny_weights, "--image-size", 48, "--labels", project)
    arguments = ("train", mislabelled, "--strategy", "finetune", "--epochs", 3, *network, "--output", here / "run")
    killed = signalled("SIGKILL", "os.rename", Path("checkpoints", "run", "state.json"), 2, *arguments)
    assert killed.code != 0
    decide(project, mislabelled, lambda path: State("hexagons") if path == "circles/circles-1.png" else None)
    resumed = headstart("train", "--resume", here / "run")
    assert resumed.code == 0, resumed.err
    assert metrics_of(here / "run")["labels"] == before
    assert metrics_of(here / "run")["classes"] == CLASSES


def test_the_classifier_takes_a_project(mislabelled: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """ImageClassifier(labels=...) fits a folder with the labels of a project; a list of images has its own."""
    project = tmp_path / "project"
    decide(
        project,
        mislabelled,
        lambda path: (
            State("ovals") if path.startswith("circles/circles") else State("squares") if path.startswith("circles") else None
        ),
    )
    classifier = ImageClassifier("probe", backbone=TINY, weights=tiny_weights, device="cpu", effort="quick", labels=project)
    with pytest.warns(UserWarning, match="by the labels of the project"):
        classifier.fit(str(mislabelled))
    assert classifier.classes_.tolist() == ["ovals", "squares", "triangles"]
    with pytest.raises(SettingsError, match="labels need a folder"):
        classifier.fit([str(mislabelled / "circles" / "circles-0.png")] * 2, ["a", "b"])
    assert TrainSettings.of(labels=project).labels == project
