"""Settings and pictures for runs on a tiny network."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS, TINY

import headstart
from headstart.record.trained import Trained
from headstart.settings import TrainSettings

CLASSES = sorted(COLOURS)


@pytest.fixture(scope="module")
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    """Settings for a run that takes a second or two."""

    def make(**values: Any) -> TrainSettings:
        small = {"backbone": TINY, "weights": tiny_weights, "image_size": 48, "workers": 2, "device": "cpu"}
        return TrainSettings.of(**(small | values))

    return make


@pytest.fixture
def split_shapes(draw_classes: Callable[..., Path]) -> Path:
    """Shapes in train/, val/ and test/."""
    for split, count in (("train", 8), ("val", 3), ("test", 4)):
        draw_classes(dict.fromkeys(CLASSES, count), f"split/{split}")
    return draw_classes({}, "split")


def run_of(strategy: str, data: Path, settings: Callable[..., TrainSettings], output: Path) -> Trained:
    return headstart.train(data, settings(strategy=strategy, epochs=2 if strategy == "finetune" else None), output=output)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def metrics_of(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return values
