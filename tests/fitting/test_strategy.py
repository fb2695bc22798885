"""--strategy auto, compare and --cv on drawn shapes and a tiny network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from PIL import Image

import headstart
from headstart.errors import DataError, SettingsError
from headstart.runs.comparing import compare_models
from headstart.settings import TrainSettings


@pytest.fixture
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    """Settings for a run that takes a second or two."""

    def make(**values: Any) -> TrainSettings:
        small = {"backbone": TINY, "weights": tiny_weights, "image_size": 48, "workers": 2, "device": "cpu"}
        return TrainSettings.of(**(small | values))

    return make


@pytest.fixture
def grain(tmp_path: Path) -> Path:
    """Two classes that random features tell apart with mistakes: grain of pairs of pixels, beside or above each other."""
    folder, rng = tmp_path / "grain", np.random.default_rng(0)
    for label in ("beside", "above"):
        (folder / label).mkdir(parents=True)
        for i in range(220):
            pairs = np.repeat(rng.normal(0, 16, (48, 24)), 2, axis=1)
            pixels = 128 + (pairs if label == "beside" else pairs.T)[..., None] + rng.normal(0, 10, (48, 48, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


LEARNS = {"epochs": 15, "learning_rate": 0.01, "augment": "none"}  # what TINY needs to tell them apart


def test_auto_keeps_a_probe_that_cannot_be_beaten(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Where the probe makes no mistake nothing is tried, and the run says so."""
    data = draw_classes({"circles": 20, "squares": 20})
    run = headstart.train(data, settings(), output=tmp_path / "run")
    assert (run.metrics["requested"], run.metrics["strategy"]) == ("auto", "probe")
    assert "no better can be shown" in run.metrics["choice"]["why"]
    assert any(note.startswith("auto chose the probe") for note in run.notes)


def test_auto_without_time_says_how_much_it_needs(grain: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A budget that is gone already keeps the probe and names one that would do."""
    run = headstart.train(grain, settings(time_budget=0.01), output=tmp_path / "run")
    assert run.metrics["strategy"] == "probe"
    assert "--time-budget 0.01 is too short" in run.metrics["choice"]["why"]


def test_auto_finetunes_where_it_pays(grain: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """The trial shows the gain, and the run that follows has it."""
    run = headstart.train(grain, settings(time_budget=240, **LEARNS), output=tmp_path / "run")
    assert run.metrics["strategy"] == "finetune", run.metrics["choice"]
    compared = run.metrics["choice"]["finetune_minus_probe"]
    assert compared["gain_ci95"][0] > 0 and compared["n"] > 100
    probe = headstart.train(grain, settings(strategy="probe"), output=tmp_path / "probe")
    assert run.evaluation.accuracy > probe.evaluation.accuracy
    manifest = json.loads((run.model / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["strategy"], manifest["settings"]["strategy"]) == ("finetune", "finetune")


class StoppedError(Exception):
    """The process ends here."""


def test_a_killed_run_keeps_what_was_chosen(
    grain: Path, settings: Callable[..., TrainSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of --strategy auto that ends after its second epoch goes on with fine-tuning under the name that this gave it."""
    monkeypatch.chdir(tmp_path)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "epoch 3 of 15" and Path("runs/grain-finetune-1.partial").exists():
            raise StoppedError

    with pytest.raises(StoppedError):
        headstart.train(grain, settings(time_budget=240, **LEARNS), progress=stop)
    assert [path.name for path in Path("runs").iterdir()] == ["grain-finetune-1.partial"]
    stages: set[str] = set()
    run = headstart.train(None, resume=Path("runs/grain-finetune-1"), progress=lambda stage, *_: stages.add(stage))
    assert run.run.as_posix() == "runs/grain-finetune-1"
    assert (run.metrics["requested"], run.metrics["strategy"]) == ("auto", "finetune")
    assert run.metrics["choice"]["finetune_minus_probe"]["gain"] > 0
    assert "epoch 3 of 15" in stages and "epoch 2 of 15" not in stages


@pytest.mark.parametrize("counts", [{"circles": 2, "squares": 2}, {"circles": 1, "squares": 6}])
def test_auto_on_almost_nothing(
    counts: dict[str, int], draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Where nothing can be held out, the probe it is, or the sentence that a probe gives."""
    data = draw_classes(counts)
    if min(counts.values()) == 1:
        with pytest.raises(DataError, match="circles"):
            headstart.train(data, settings(), output=tmp_path / "run")
    else:
        assert headstart.train(data, settings(), output=tmp_path / "run").metrics["strategy"] == "probe"


def test_auto_wants_one_process(
    grain: Path, settings: Callable[..., TrainSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes under torchrun could choose differently."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="one process"):
        headstart.train(grain, settings(), output=tmp_path / "run")


def test_repeated_cross_validation(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """--cv 3x2 needs no val: every image is answered twice by a probe without it."""
    data = draw_classes({"circles": 12, "squares": 12})
    run = headstart.train(data, settings(strategy="probe", cv="3x2"), output=tmp_path / "run")
    found = run.metrics["cross_validation"]
    assert (found["n"], found["folds"], found["repeats"]) == (24, 3, 2)
    assert run.metrics["images"] == {"train": 24, "val": 0, "test": 0, "skipped": 0}
    assert run.evaluation.split == "cv"
    assert found["accuracy"] == pytest.approx(np.mean([np.mean(repeat) for repeat in found["by_fold"]]), abs=0.02)


@pytest.mark.parametrize("cv", ["5x", "x4", "0x3", "five", "1", "1x3"])
def test_a_malformed_cv_is_refused(cv: str) -> None:
    """With the option's name."""
    with pytest.raises(SettingsError, match="--cv"):
        TrainSettings.of(cv=cv)


def test_comparison(grain: Path, settings: Callable[..., TrainSettings]) -> None:
    """Every image is answered once by each; the second is measured against the first, and a sentence says what came out."""
    found = compare_models(grain, settings(**LEARNS), n_folds=2)
    probe, finetune = found.contenders
    assert found.n == 440 and (probe.strategy, finetune.strategy) == ("probe", "finetune")
    assert probe.difference is None and finetune.difference is not None
    assert finetune.difference.gain == pytest.approx(finetune.accuracy - probe.accuracy)
    assert finetune.seconds > probe.seconds
    (sentence,) = found.sentences()
    assert ("better than" if finetune.difference.is_shown else "No difference") in sentence
    assert json.loads(json.dumps(found.as_json()))["contenders"][1]["difference"] == finetune.difference.gain


def test_one_against_itself_shows_no_difference(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]
) -> None:
    """A single contender has nothing to be compared with; an unknown one is refused."""
    data = draw_classes({"circles": 6, "squares": 6})
    assert compare_models(data, settings(), strategies=["probe"]).sentences() == []
    with pytest.raises(SettingsError, match="bagging"):
        compare_models(data, settings(), strategies=["probe", "bagging"])


def test_balance_finds_the_rare_class(tmp_path: Path, settings: Callable[..., TrainSettings]) -> None:
    """Of a class with a twelfth of the images more are found with --balance, by probe and fine-tuning alike."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 8), ("val", 20)):
        for label, shade, count in (("common", 120, 12 * n), ("rare", 136, n)):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(shade + rng.normal(0, 10), 12, (48, 48, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    for strategy in ("probe", "finetune"):
        recalls = {}
        for balance in (False, True):
            run = headstart.train(
                tmp_path / "data",
                settings(strategy=strategy, balance=balance, epochs=2 if strategy == "finetune" else None),
                output=tmp_path / f"{strategy}-{balance}",
            )
            recalls[balance] = run.evaluation.per_class[1].recall or 0.0
        assert recalls[True] > recalls[False] + 0.1, (strategy, recalls)
