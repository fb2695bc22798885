"""--strategy auto, compare and --cv on drawn shapes and a tiny network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from conftest import TINY, MakeOnce
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
def tints(tmp_path: Path) -> Path:
    """Two classes of grey noise with a tint, red or green, that leaves the sum of the three channels as it is."""
    folder, rng = tmp_path / "tints", np.random.default_rng(0)
    for label, tint in (("red", [30, -30, 0]), ("green", [-30, 30, 0])):
        (folder / label).mkdir(parents=True)
        for i in range(80):
            grey = rng.integers(80, 170, (48, 48, 1)) + rng.integers(-20, 21)
            Image.fromarray((grey + tint).astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def colour_blind(made_once: MakeOnce, tiny_weights: Path) -> Path:
    """Weights of a network whose first convolution adds the channels up: no probe can tell the tints apart."""

    def make(folder: Path) -> None:
        tensors = safetensors.numpy.load_file(tiny_weights)
        tensors[FIRST] = np.repeat(tensors[FIRST].mean(axis=1, keepdims=True), 3, axis=1)
        safetensors.numpy.save_file(tensors, folder / "blind.safetensors")

    return made_once("colour blind", make) / "blind.safetensors"


FIRST = "conv1.0.weight"
# Two epochs of gradient steps make it see: fine-tuning wins by 40 points and more, however a machine rounds.
LEARNS = {"epochs": 3, "learning_rate": 0.01, "augment": "none", "freeze": 0, "time_budget": 86_400}


def test_auto_keeps_a_probe_that_cannot_be_beaten(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Where the probe makes no mistake nothing is tried, and the run says so."""
    data = draw_classes({"circles": 20, "squares": 20})
    run = headstart.train(data, settings(), output=tmp_path / "run")
    assert (run.metrics["requested"], run.metrics["strategy"]) == ("auto", "probe")
    assert "no better can be shown" in run.metrics["choice"]["why"]
    assert any(note.startswith("auto chose the probe") for note in run.notes)


def test_auto_without_time_says_how_much_it_needs(
    tints: Path, colour_blind: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A budget that is gone already keeps the probe and names one that would do."""
    run = headstart.train(tints, settings(weights=colour_blind, time_budget=0.01), output=tmp_path / "run")
    assert run.metrics["strategy"] == "probe"
    assert "--time-budget 0.01 is too short" in run.metrics["choice"]["why"]


def test_auto_finetunes_where_it_pays(
    tints: Path, colour_blind: Path, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """The trial shows the gain, and the run that follows has it."""
    run = headstart.train(tints, settings(weights=colour_blind, **LEARNS), output=tmp_path / "run")
    assert run.metrics["strategy"] == "finetune", run.metrics["choice"]
    compared = run.metrics["choice"]["finetune_minus_probe"]
    assert compared["gain_ci95"][0] > 0 and compared["n"] > 30
    probe = headstart.train(tints, settings(weights=colour_blind, strategy="probe"), output=tmp_path / "probe")
    assert run.evaluation.accuracy > probe.evaluation.accuracy
    manifest = json.loads((run.model / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["strategy"], manifest["settings"]["strategy"]) == ("finetune", "finetune")


class StoppedError(Exception):
    """The process ends here."""


def test_a_killed_run_keeps_what_was_chosen(
    tints: Path,
    colour_blind: Path,
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run of --strategy auto that ends after its second epoch goes on with fine-tuning under the name that this gave it."""
    monkeypatch.chdir(tmp_path)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "epoch 3 of 3" and Path("runs/tints-finetune-1.partial").exists():
            raise StoppedError

    with pytest.raises(StoppedError):
        headstart.train(tints, settings(weights=colour_blind, **LEARNS), progress=stop)
    assert [path.name for path in Path("runs").iterdir()] == ["tints-finetune-1.partial"]
    stages: set[str] = set()
    run = headstart.train(None, resume=Path("runs/tints-finetune-1"), progress=lambda stage, *_: stages.add(stage))
    assert run.run.as_posix() == "runs/tints-finetune-1"
    assert (run.metrics["requested"], run.metrics["strategy"]) == ("auto", "finetune")
    assert run.metrics["choice"]["finetune_minus_probe"]["gain"] > 0
    assert "epoch 3 of 3" in stages and "epoch 2 of 3" not in stages


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
    tints: Path, settings: Callable[..., TrainSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes under torchrun could choose differently."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="one process"):
        headstart.train(tints, settings(), output=tmp_path / "run")


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


def test_comparison(tints: Path, colour_blind: Path, settings: Callable[..., TrainSettings]) -> None:
    """Every image is answered once by each; the second is measured against the first, and a sentence says what came out."""
    found = compare_models(tints, settings(weights=colour_blind, **LEARNS), n_folds=2)
    probe, finetune = found.contenders
    assert found.n == 160 and (probe.strategy, finetune.strategy) == ("probe", "finetune")
    assert probe.to_first is None and finetune.to_first is not None
    assert finetune.difference == pytest.approx(finetune.accuracy - probe.accuracy)
    assert finetune.to_first.is_shown and finetune.to_first.gain > 0.2
    (sentence,) = found.sentences
    assert "better than" in sentence
    assert json.loads(json.dumps(found.as_json()))["contenders"][1]["difference"] == finetune.difference


def test_one_against_itself_shows_no_difference(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]
) -> None:
    """A single contender has nothing to be compared with; an unknown one is refused."""
    data = draw_classes({"circles": 6, "squares": 6})
    assert compare_models(data, settings(), strategies=["probe"]).sentences == []
    with pytest.raises(SettingsError, match="bagging"):
        compare_models(data, settings(), strategies=["probe", "bagging"])


def test_balance_finds_the_rare_class(tmp_path: Path, settings: Callable[..., TrainSettings]) -> None:
    """Of a class with a twelfth of the images more are found with --balance, by probe and fine-tuning alike."""
    rng = np.random.default_rng(0)
    for split, n_common, n_rare in (("train", 96, 8), ("val", 40, 20)):
        for label, shade, count in (("common", 120, n_common), ("rare", 136, n_rare)):
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
