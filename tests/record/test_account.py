"""What a run reports about itself: promises only where they hold, and each number worked out once."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

from headstart.artifact.bundle import CARD, read_bundle
from headstart.artifact.predictor import Predictor
from headstart.audit.twins import Twins, find_twins
from headstart.evaluation.judging import evaluate_answers
from headstart.evaluation.metrics import Evaluation
from headstart.fitting import fitted, scanned
from headstart.record.trained import Trained
from headstart.runs.training import train
from headstart.settings import TrainSettings

CLASSES = {"circles": 12, "squares": 12}


@pytest.fixture
def trained(draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path) -> Callable[..., Trained]:
    """Trains on drawn shapes, two of whose val images are in train as well."""
    data = draw_classes(CLASSES, "shapes/train").parent
    draw_classes({"circles": 12, "squares": 12}, "shapes/val", 1)
    for i in range(2):
        shutil.copy(data / "train" / "circles" / f"circles-{i}.png", data / "val" / "circles" / f"copy-{i}.png")

    def make(**values: Any) -> Trained:
        small = {"backbone": TINY, "weights": tiny_weights, "image_size": 48, "device": "cpu", "augment": "none"}
        return train(data, TrainSettings.of(**(small | values)), output=tmp_path / "run")

    return make


def test_sets_are_no_promise_where_the_epoch_was_chosen_on_the_same_images(trained: Callable[..., Trained]) -> None:
    """A fine-tuned network's conformal sets are set on val, on which its epoch was chosen: note, metrics and card say so."""
    run = trained(strategy="finetune", epochs=1, conformal=0.9)
    assert run.metrics["decisions"]["conformal"]["promised"] is False
    (note,) = (note for note in run.notes if note.startswith("--conformal 0.9"))
    assert "not a promise: the best epoch was chosen on the same images" in note
    assert "coverage of 90% for its sets of classes is not a promise" in " ".join((run.model / CARD).read_text("utf-8").split())
    assert read_bundle(run.model).manifest.decisions.conformal is not None


def test_sets_are_a_promise_where_nothing_was_chosen(trained: Callable[..., Trained]) -> None:
    """A probe's are set on train by cross-validation, by which no epoch was chosen: no caveat."""
    run = trained(strategy="probe", conformal=0.9)
    assert run.metrics["decisions"]["conformal"]["promised"] is True
    assert not any("not a promise" in note for note in run.notes)
    assert "sets of classes is not a promise" not in (run.model / CARD).read_text("utf-8")


def test_images_without_leaks_are_evaluated_once(trained: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run and model card tell the accuracy without leaks; resampling its intervals twice would cost seconds of a large set."""
    evaluated = []

    def evaluating(probabilities: np.ndarray, *more: Any, **named: Any) -> Evaluation:
        evaluated.append(len(probabilities))
        return evaluate_answers(probabilities, *more, **named)

    monkeypatch.setattr(fitted, "evaluate_answers", evaluating)
    run = trained(strategy="probe")
    assert run.metrics["evaluation"]["n"] == 26
    assert evaluated.count(24) == 1
    assert "without them" in " ".join(read_bundle(run.model).manifest.notes)


def copies(data: Path, counts: dict[str, int]) -> None:
    """Puts copies of train's images into val under other names."""
    for label, count in counts.items():
        for i in range(count):
            (data / "val" / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(data / "train" / label / f"{label}-{i}.png", data / "val" / label / f"copy-{i}.png")


@pytest.fixture
def tiny(tiny_weights: Path, tmp_path: Path) -> Callable[..., Trained]:
    """Trains the tiny network on a folder."""

    def make(data: Path, **values: Any) -> Trained:
        small = {"backbone": TINY, "weights": tiny_weights, "image_size": 48, "device": "cpu", "augment": "none"}
        name = f"run-{len(list(tmp_path.glob('run-*')))}"
        return train(data, TrainSettings.of(**(small | {"strategy": "probe"} | values)), output=tmp_path / name)

    return make


@pytest.mark.parametrize(
    ("split", "counts", "left"),
    [
        ("val", {"circles": 12, "squares": 12}, "no image is left"),
        ("test", {"circles": 12, "squares": 12}, "no image is left"),
        ("val", {"circles": 12}, "only one class is left"),
    ],
)
def test_where_leaks_leave_nothing(
    split: str, counts: dict[str, int], left: str, draw_classes: Callable[..., Path], tiny: Callable[..., Trained]
) -> None:
    """If all held-out images, or all of a class, are in train, this is the first note, and no number is given as clean."""
    data = draw_classes(CLASSES, "shapes/train").parent
    copies(data, counts)
    draw_classes({label: 5 for label in CLASSES if label not in counts}, "shapes/val", 1)
    (data / "val").rename(data / split)
    run = tiny(data)
    n, n_leaked = run.evaluation.n, sum(counts.values())
    assert run.evaluation.leaked == n_leaked
    assert run.notes[0] == (
        f"{n_leaked} of the {n} {split} images have a twin in train, which makes the accuracy too high; without them {left}, "
        "so how well the model does on new images is not known"
    )
    assert run.metrics["without_leaks"] is None
    assert f"{n_leaked} of them have a twin in train, so the number is too high" in run.summary
    report = (run.run / "report.html").read_text("utf-8")
    assert "is not known: the images measured on are in train as well" in report
    assert "Of 100 new images" not in report
    card = " ".join((run.model / CARD).read_text("utf-8").split())
    assert f"{left}, so how well the model does on new images is not known" in card


def test_refit_trains_on_val_too(draw_classes: Callable[..., Path], tiny: Callable[..., Trained]) -> None:
    """With --refit a test image whose twin is in val was trained on as well."""
    data = draw_classes(CLASSES, "shapes/train").parent
    draw_classes(dict.fromkeys(CLASSES, 6), "shapes/val", 1)
    draw_classes(dict.fromkeys(CLASSES, 6), "shapes/test", 2)
    shutil.copy(data / "val" / "circles" / "circles-0.png", data / "test" / "circles" / "copy.png")
    assert tiny(data).evaluation.leaked == 0
    assert tiny(data, refit=True).evaluation.leaked == 1


def blank_class(data: Path, n: int = 8) -> None:
    """Adds a class whose images are all the same but for a shade."""
    (data / "blank").mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (96, 80), (250 + i % 5,) * 3).save(data / "blank" / f"{i}.png")


@pytest.mark.parametrize(
    "values",
    [
        {"conformal": 0.9, "target_precision": 0.9},
        {"val_fraction": 0},
        {"cv": "3x2"},
        {"refit": True},
        {"strategy": "auto"},
        {"strategy": "finetune", "epochs": 1, "conformal": 0.9},
        {"recipe": "tutorial", "epochs": 1},
    ],
)
def test_a_class_that_is_one_picture_is_trained_but_not_judged(
    values: dict[str, Any], draw_classes: Callable[..., Path], tiny: Callable[..., Trained]
) -> None:
    """It is in train whole; numbers, thresholds and folds are those of the other classes; notes and card say so."""
    data = draw_classes({"circles": 14, "squares": 14})
    blank_class(data)
    run = tiny(data, **values)
    blank = next(one for one in run.metrics["evaluation"]["per_class"] if one["class"] == "blank")
    if values.get("recipe") == "tutorial":  # it compares bytes alone, and these differ
        assert blank["n"] > 0
        return
    assert blank["n"] == 0
    says = "the class 'blank' cannot be judged: its 8 images are all one picture, scene or group, so none could be held out"
    assert run.notes[0].startswith(says)
    assert "'blank' cannot be judged" in " ".join((run.model / CARD).read_text("utf-8").split())
    assert run.evaluation.leaked == 0
    assert not any("too small for cross-validation" in note for note in run.notes)
    assert read_bundle(run.model).manifest.classes == ("blank", "circles", "squares")
    (answer,) = Predictor.load(run.model).predict([data / "blank" / "0.png"])
    assert answer.predicted == "blank"


@pytest.mark.parametrize("values", [{}, {"val_fraction": 0}, {"cv": "2x2"}, {"strategy": "finetune", "epochs": 1}])
@pytest.mark.parametrize("others", [{}, {"circles": 12}])
def test_classes_that_are_one_picture_each(
    others: dict[str, int], values: dict[str, Any], draw_classes: Callable[..., Path], tiny: Callable[..., Trained]
) -> None:
    """With fewer than two classes that can be judged, a model is trained, its number is called a leak, and none is clean."""
    data = draw_classes(others)
    blank_class(data)
    if not others:
        (data / "black").mkdir()
        for i in range(8):
            Image.new("RGB", (96, 80), (i % 5,) * 3).save(data / "black" / f"{i}.png")
    run = tiny(data, **values)
    assert {one["class"] for one in run.metrics["evaluation"]["per_class"] if one["n"]} == {"blank", *(others or {"black": 8})}
    assert "had to be divided); without them" in run.notes[0]
    assert "so how well the model does on new images is not known" in run.notes[0]
    assert run.metrics["without_leaks"] is None


def test_what_may_be_a_copy_is_not_called_clean(
    draw_classes: Callable[..., Path], tiny: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of which it cannot be told whether they are copies are counted, and left out of the clean number."""
    data = draw_classes(CLASSES, "shapes/train").parent
    draw_classes(dict.fromkeys(CLASSES, 10), "shapes/val", 1)
    copies(data, {"circles": 2})

    def crowded(images: Any, *more: Any, **options: Any) -> Twins:
        twins = find_twins(images, *more, **options)
        crowd = [7 if image.path.endswith(("circles-0.png", "circles-1.png", "circles-2.png")) else -1 for image in images]
        return replace(twins, crowd=np.array(crowd))

    monkeypatch.setattr(scanned, "find_twins", crowded)
    run = tiny(data)
    assert (run.evaluation.leaked, run.evaluation.unclear) == (2, 3)
    assert run.metrics["without_leaks"]["n"] == 17
    assert run.notes[0].startswith(
        "2 of the 22 val images have a twin in train, which makes the accuracy too high; 3 more are so much like images of "
        "train that they may be the same scene or only alike, which cannot be told; without them "
    )
    assert " of 17 are right" in run.notes[0]
