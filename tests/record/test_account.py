"""What a run reports about itself: promises only where they hold, and each number worked out once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY

from headstart.artifact.bundle import CARD, read_bundle
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.fitting import fitted
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
        return evaluate_predictions(probabilities, *more, **named)

    monkeypatch.setattr(fitted, "evaluate_predictions", evaluating)
    run = trained(strategy="probe")
    assert run.metrics["evaluation"]["n"] == 26
    assert evaluated.count(24) == 1
    assert "without them" in " ".join(read_bundle(run.model).manifest.notes)
