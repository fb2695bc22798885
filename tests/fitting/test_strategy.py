"""--strategy auto, --cv and --balance on drawn shapes and a tiny network."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeOnce
from PIL import Image
from tints import LEARNS, draw_tints, quick_settings, write_blind_weights

import headstart
from headstart.data.given import open_given
from headstart.errors import DataError, SettingsError
from headstart.fitting.scanned import Scanned, scan_given
from headstart.fitting.strategy import choose
from headstart.settings import TrainSettings


@pytest.fixture(scope="session")
def blind(made_once: MakeOnce, tiny_weights: Path) -> Path:
    """Weights of a colour-blind network."""
    return made_once("colour blind", lambda folder: write_blind_weights(folder, tiny_weights)) / "blind.safetensors"


@pytest.fixture
def learning(blind: Path) -> Callable[..., TrainSettings]:
    """Settings with which fine-tuning learns what a probe cannot see."""
    return lambda **values: quick_settings(blind, **(LEARNS | values))


@pytest.fixture
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    """Settings for a run that takes a second or two."""
    return partial(quick_settings, tiny_weights)


@pytest.fixture
def tints(tmp_path: Path) -> Path:
    """Two classes that only a network which learns to see colours can tell apart."""
    return draw_tints(tmp_path / "tints")


def test_auto_keeps_a_probe_that_cannot_be_beaten(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Where the probe makes no mistake nothing is tried, and the run says so."""
    data = draw_classes({"circles": 20, "squares": 20})
    run = headstart.train(data, settings(), output=tmp_path / "run")
    assert (run.metrics["requested"], run.metrics["strategy"]) == ("auto", "probe")
    assert "no gain can be shown" in run.metrics["choice"]["why"]
    assert any(note.startswith("auto chose the probe") for note in run.notes)


def test_auto_without_time_says_how_much_it_needs(tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A budget that is gone already keeps the probe and names one that would do."""
    run = headstart.train(tints, learning(time_budget=0.01), output=tmp_path / "run")
    assert run.metrics["strategy"] == "probe"
    assert "--time-budget 0.01 is too short" in run.metrics["choice"]["why"]


def scanned(data: Path, settings: TrainSettings) -> Scanned:
    """The scan of a run that began at second 0 of a clock that is given."""
    with open_given(data, settings) as sources:
        return replace(scan_given(sources, settings), began=0.0)


# What a clock says while a tenth of a second is measured for decoding an image and an eighth for a training step on it.
MEASURING = [0.0, 2.4, 10.0, 10.0, 10.0, 11.0, 20.0, 23.0]


def test_the_budget_that_is_named_is_enough(tints: Path, learning: Callable[..., TrainSettings]) -> None:
    """With the budget that the refusal names a trial is made and compared; with a little less it is refused again."""

    def why(budget: float) -> str:
        clock = iter([*MEASURING, *[30.0] * 9])
        return choose(scanned(tints, learning(time_budget=budget)), clock=lambda: next(clock)).why

    refusal = why(100)
    assert refusal.startswith("the probe: --time-budget 100 is too short to try fine-tuning; try ")
    enough = int(refusal.rsplit(" ", 1)[1])
    assert "too short" in why(enough - 20)
    assert "points" in why(enough)


def test_fewer_epochs_where_the_time_allows_no_more(tints: Path, learning: Callable[..., TrainSettings]) -> None:
    """Fine-tuning that pays gets the epochs that fit into what is left after the trial, and says how many it would take."""
    clock = iter([*MEASURING, 30.0, 30.0, 1927.0])
    # An epoch takes 128 x 1/8 s and 32 x 1/24 s of answers, all else 22.7 s: two epochs fit into nine tenths of 73 s.
    choice = choose(scanned(tints, learning(time_budget=2000)), clock=lambda: next(clock))
    assert choice.difference is not None and choice.difference.is_shown and choice.difference.gain > 0
    assert (choice.strategy, choice.epochs) == ("finetune", 2)
    assert "; 2 of 3 epochs fit into --time-budget 2000" in choice.why


def test_a_named_strategy_is_no_choice(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]) -> None:
    """What was asked for by name is done, and nothing is said about it."""
    data = draw_classes({"circles": 3, "squares": 3})
    for strategy in ("probe", "finetune"):
        choice = choose(scanned(data, settings(strategy=strategy)))
        assert (choice.strategy, choice.epochs, choice.is_users) == (strategy, None, True)


@pytest.mark.slow
def test_auto_finetunes_where_it_pays(tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """The trial shows the gain, and the run that follows has it."""
    run = headstart.train(tints, learning(), output=tmp_path / "run")
    assert run.metrics["strategy"] == "finetune", run.metrics["choice"]
    compared = run.metrics["choice"]["finetune_minus_probe"]
    assert compared["gain_ci95"][0] > 0 and compared["n"] > 30
    probe = headstart.train(tints, learning(strategy="probe"), output=tmp_path / "probe")
    assert run.evaluation.accuracy > probe.evaluation.accuracy
    manifest = json.loads((run.model / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["strategy"], manifest["settings"]["strategy"]) == ("finetune", "finetune")


class StoppedError(Exception):
    """The process ends here."""


def test_a_killed_run_keeps_what_was_chosen(
    tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of --strategy auto that ends after its second epoch goes on with fine-tuning under the name that this gave it."""
    monkeypatch.chdir(tmp_path)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "epoch 3 of 3" and Path("runs/tints-finetune-1.partial").exists():
            raise StoppedError

    with pytest.raises(StoppedError):
        headstart.train(tints, learning(), progress=stop)
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
    with pytest.raises(SettingsError, match="a single process"):
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


@pytest.mark.slow
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
