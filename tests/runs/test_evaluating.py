"""Promises of evaluate_model()."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from headstart import HeadstartError, Trained, TrainSettings, train
from headstart.runs.evaluating import evaluate_model

Draw = Callable[..., Path]


@pytest.fixture
def data(draw_classes: Draw) -> Path:
    """Drawn shapes with train and val."""
    draw_classes({"circles": 5, "squares": 6}, "shapes/val")
    return draw_classes({"circles": 12, "squares": 12}, "shapes/train").parent


@pytest.fixture
def trained(data: Path, tiny_weights: Path, tmp_path: Path) -> Trained:
    """A probe of the tiny network."""
    settings = TrainSettings(backbone=TINY, weights=tiny_weights, device="cpu")
    return train(data, settings, output=tmp_path / "run")


def test_agrees_with_the_run(trained: Trained, data: Path) -> None:
    """Evaluated on its own val, a model gives the numbers and probabilities that its run recorded."""
    evaluated = evaluate_model(trained.run, data, split="val")
    assert evaluated.metrics["evaluation"]["accuracy"] == trained.metrics["evaluation"]["accuracy"]
    assert evaluated.evaluation.log_loss == pytest.approx(trained.evaluation.log_loss, abs=1e-4)
    with (trained.run / "predictions.csv").open(encoding="utf-8", newline="") as table:
        recorded = np.array([[float(row["p:circles"]), float(row["p:squares"])] for row in csv.DictReader(table)])
    np.testing.assert_allclose(evaluated.probabilities, recorded, atol=1e-4)
    assert evaluated.notes == ()


def test_trained_on_images_are_told(trained: Trained, data: Path) -> None:
    """Images the model was trained on are counted, also under another name."""
    evaluated = evaluate_model(trained.run, data / "train")
    assert evaluated.metrics["images"]["trained_on"] == 24
    assert "24 of these 24 images were used for training" in evaluated.notes[0]
    assert evaluated.evaluation.split == "all"


def test_splits(trained: Trained, data: Path) -> None:
    """Without --split val is taken where there is no test; all is all; a split that is not there is refused."""
    assert evaluate_model(trained.run, data).evaluation.split == "val"
    assert evaluate_model(trained.run, data, split="all").evaluation.n == 35
    with pytest.raises(HeadstartError, match="has no test split") as caught:
        evaluate_model(trained.run, data, split="test")
    assert "train, val" in caught.value.hint


def test_labels_are_bound_by_name(trained: Trained, data: Path, draw_classes: Draw) -> None:
    """Unknown labels are left out with a note; classes without images are noted; neither shifts the others."""
    only_squares = draw_classes({"squares": 6, "triangles": 3}, "new")
    evaluated = evaluate_model(trained.run, only_squares)
    assert evaluated.evaluation.n == 6
    assert any("3 images of 'triangles' are left out" in note for note in evaluated.notes)
    assert any("no image of the class 'circles'" in note for note in evaluated.notes)
    by_name = {entry.name: entry for entry in evaluated.evaluation.per_class}
    assert (by_name["squares"].n, by_name["circles"].n, by_name["circles"].recall) == (6, 0, None)
    with pytest.raises(HeadstartError, match="no readable image of the model's classes"):
        evaluate_model(trained.run, draw_classes({"triangles": 2}, "foreign"))


def test_selected_on_val_is_told(data: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """A fine-tuned model evaluated on the val it chose its epoch by says selected_on; on new images it does not."""
    settings = TrainSettings(backbone=TINY, weights=tiny_weights, device="cpu", strategy="finetune", epochs=1)
    model = train(data, settings, output=tmp_path / "tuned").model
    assert evaluate_model(model, data, split="val").evaluation.selected_on is True
    assert evaluate_model(model, data / "train").evaluation.selected_on is False


def test_split_off_val_is_found_again(draw_classes: Draw, tiny_weights: Path, tmp_path: Path) -> None:
    """--split val on data that was split for the model takes the very images that were held out, by their bytes."""
    data = draw_classes({"circles": 10, "squares": 10}, "whole")
    settings = TrainSettings(backbone=TINY, weights=tiny_weights, device="cpu")
    trained = train(data, settings, output=tmp_path / "split")
    evaluated = evaluate_model(trained.run, data, split="val")
    assert evaluated.metrics["evaluation"]["accuracy"] == trained.metrics["evaluation"]["accuracy"]
    assert (evaluated.evaluation.n, evaluated.notes) == (4, ())
    assert "--split val evaluates only the 4 images that were held out" in evaluate_model(trained.run, data).notes[0]
