"""Settings and pictures for runs on a tiny network."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COLOURS, TINY, draw_shape

import headstart
from headstart.artifact.bundle import read_bundle
from headstart.artifact.manifest import Manifest
from headstart.model import finetune
from headstart.privacy import switch_off_telemetry
from headstart.progress import Progress
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file

CLASSES = sorted(COLOURS)


@contextmanager
def ended_by_a_save(error: type[BaseException] = KeyboardInterrupt) -> Iterator[None]:
    """As if Ctrl-C were pressed, or something else happened, just after fine-tuning has saved its state."""
    save = finetune._Loop.save

    def save_and_end(loop: finetune._Loop, *given: Any) -> None:
        save(loop, *given)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune._Loop, "save", save_and_end)
        yield


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home that the tests of a module share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        yield


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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is one of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def old_shapes(draw_classes: Callable[..., Path]) -> Path:
    """Circles and squares, four of each labelled wrong, so that there is something to learn."""
    data = draw_classes({"circles": 12, "squares": 12}, "old")
    for i in range(4):
        one, other = data / "circles" / f"circles-{i}.png", data / "squares" / f"squares-{i}.png"
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
    return data


def add_to(folder: Path, counts: dict[str, int], seed: int = 7) -> Path:
    """Draws new images into the class folders of a folder."""
    rng = np.random.default_rng(seed)
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            draw_shape(label, rng).save(folder / label / f"new-{i}.png")
    return folder


def extend(data: Path | str, run: Path | str = "run", output: str = "more", **given: Any) -> Trained:
    return headstart.train(
        data, TrainSettings.of(**{"workers": 2, "device": "cpu"} | given), extend=run, output=output, pictures=False
    )


def manifest_of(run: Path | str) -> Manifest:
    return read_bundle(Path(run)).manifest


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Each file's digest and the time of its last change."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (sha256_of_file(path), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def tracker_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What trackers find in the environment, or set there, is of no other test."""
    before = set(os.environ)
    for name in before:
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    switch_off_telemetry()
    yield monkeypatch
    for name in set(os.environ) - before:
        del os.environ[name]


def breaks_at_epoch(epoch: int, breaks: Callable[[], object]) -> Progress:
    """A progress that calls `breaks` with the first step of this epoch."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage.startswith(f"epoch {epoch} of "):
            breaks()

    return progress
