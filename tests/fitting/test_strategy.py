"""--strategy auto, --cv and --balance on drawn shapes and a tiny network."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import WorkClock
from conftest import MakeOnce
from PIL import Image
from tints import LEARNS, draw_tints, quick_settings, write_blind_weights

import headstart
from headstart.data.given import open_given
from headstart.deadline import Deadline
from headstart.errors import DataError, SettingsError
from headstart.fitting.choice import Choice
from headstart.fitting.fit import fit
from headstart.fitting.fitted import Fitted
from headstart.fitting.scanned import Scanned, scan_given
from headstart.fitting.strategy import choose
from headstart.recipes import CarriedOutPlan
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
    assert "no gain could be shown" in run.metrics["choice"]["why"]
    assert any(note.startswith("auto chose the probe") for note in run.notes)


class StoppedError(Exception):
    """The process ends here."""


def scanned(data: Path, settings: TrainSettings) -> Scanned:
    """The scan of a run."""
    with open_given(data, settings) as sources:
        return scan_given(sources, settings)


# On this clock a training step takes a second, and so does decoding an image. A run trains on 128 images in steps of 16, with
# 32 images for val.
SECONDS = {"timing": 1.0, "epoch": 1.0, "decoding": 1.0, "predicting": 1.0, "validating": 1 / 6, "measuring": 0.1}


class Timed:
    """Choices for the tints and the runs after them, on a clock that goes on with the work."""

    def __init__(self, scan: Scanned, budget: float, **seconds: float) -> None:
        self.clock = WorkClock(SECONDS | seconds)
        self.scanned, self.deadline = scan, Deadline(budget, 0.0, self.clock)

    def choose(self) -> Choice:
        return choose(self.scanned, self.deadline, self.clock.progress)

    def fit(self, choice: Choice, **given: Any) -> Fitted:
        return fit(self.scanned, choice, self.clock.progress, deadline=self.deadline, **given)


@pytest.fixture
def timed(tints: Path, learning: Callable[..., TrainSettings]) -> Callable[..., Timed]:
    return lambda budget, seconds={}, **values: Timed(scanned(tints, learning(**values)), budget, **seconds)


def test_the_budget_that_is_named_is_enough(timed: Callable[..., Timed]) -> None:
    """With the budget that the refusal names the network is fine-tuned; with a little less it is refused again."""
    refusal = timed(270).choose().why
    assert refusal.startswith("the probe: --time-budget 270 is too short to fine-tune for 3 epochs; try ")
    enough = int(refusal.rsplit(" ", 1)[1])
    assert "too short" in timed(enough - 20).choose().why
    assert timed(enough).choose().strategy == "finetune"


def test_fewer_epochs_where_the_time_allows_no_more(timed: Callable[..., Timed]) -> None:
    """Fine-tuning gets the epochs that fit into what is left, the last of them perhaps shortened, and is in time."""
    run = timed(700, epochs=80)
    choice = run.choose()
    assert choice.strategy == "finetune" and choice.epochs is not None and 3 <= choice.epochs < 80
    assert f"; about {choice.epochs} of 80 epochs fit into --time-budget 700" in choice.why
    fitted = run.fit(choice)
    assert [row.epoch for row in fitted.history] == list(range(choice.epochs + 1))
    assert 600 < run.clock.now < 700


def test_most_of_the_time_is_used(timed: Callable[..., Timed]) -> None:
    """Whatever the budget, no epoch that fits is left out, and none makes the run late."""
    for budget in (460, 465, 470, 475):
        run = timed(budget, epochs=80)
        choice = run.choose()
        assert choice.strategy == "finetune"
        fitted = run.fit(choice)
        assert 0.9 * budget < run.clock.now <= budget
        assert fitted.history[-1].epoch == choice.epochs


def test_measuring_that_takes_too_long(timed: Callable[..., Timed]) -> None:
    """On a machine so busy that a few steps take a large part of the time, measuring them is given up early."""
    run = timed(600, {"timing": 3.0})
    assert run.choose().why == "the probe: --time-budget 600 is too short to fine-tune"
    assert run.clock.now < 200


def test_an_epoch_that_does_not_fit(timed: Callable[..., Timed], tmp_path: Path) -> None:
    """A machine that becomes slow after the choice gets fewer epochs than chosen; the run says so and is in time."""
    run = timed(600, epochs=4)
    choice = run.choose()
    assert (choice.strategy, choice.epochs) == ("finetune", None)
    run.clock.seconds["epoch"] = 20.0
    fitted = run.fit(choice)
    assert run.clock.now <= 600
    (note,) = [note for note in fitted.notes if "--time-budget" in note]
    assert note.startswith("--time-budget 600 ended fine-tuning in epoch ") and note.endswith("; the best so far is kept")
    made = fitted.history[-1].epoch
    assert 1 <= made < 4 and f"epoch {made} of 4, after " in note
    assert isinstance(fitted.plan, CarriedOutPlan)
    assert fitted.plan.steps.epochs == made >= fitted.best_epoch == fitted.plan.best_epoch
    assert fitted.answers[0].by_epoch is not None and len(fitted.answers[0].by_epoch) == len(fitted.history)
    assert not fitted.interrupted


def test_a_refit_that_does_not_fit(timed: Callable[..., Timed]) -> None:
    """A second training that the deadline ends is given up: the model is the one that val was answered by."""
    run = timed(900, refit=True)
    choice = run.choose()
    assert choice.strategy == "finetune"

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "epoch 1 of 3" and "epoch 3 of 3" in run.clock.stages[-3:]:
            run.clock.seconds["epoch"] = 200.0
        run.clock.progress(stage, done, total)

    run.clock.stages.clear()
    fitted = fit(run.scanned, choice, progress, deadline=run.deadline)
    assert fitted.best_epoch > 0
    assert "--time-budget 900 ended the refitting: the saved model is the one trained on train only" in fitted.notes
    assert (fitted.refit, fitted.interrupted) == (False, False)
    assert run.clock.now <= 1.1 * 900
    in_time = timed(1500, refit=True)
    assert in_time.fit(in_time.choose()).refit


@pytest.mark.parametrize("strategy", ["auto", "probe", "finetune"])
def test_a_budget_that_is_gone_at_once(
    strategy: str, tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """The probe is finished all the same, and so is a network that was to be fine-tuned; the run says that it took longer."""
    run = headstart.train(tints, learning(strategy=strategy, time_budget=0.01), output=tmp_path / "run")
    assert (run.interrupted, run.metrics["best_epoch"]) == (False, 0)
    assert any(note.startswith("the run took longer than --time-budget 0.01: fitting ended after ") for note in run.notes)
    cut = "--time-budget 0.01 ended fine-tuning before epoch 1 of 3; the best so far is kept"
    assert (cut in run.notes) == (strategy == "finetune")


def test_a_resumed_run_keeps_what_was_cut(tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A run that was killed after its time was over is completed with the same words, and takes no more steps."""

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "writing the run":
            raise StoppedError

    settings = learning(strategy="finetune", time_budget=0.01)
    with pytest.raises(StoppedError):
        headstart.train(tints, settings, output=tmp_path / "run", progress=stop)
    stages: set[str] = set()
    run = headstart.train(None, resume=tmp_path / "run", progress=lambda stage, *_: stages.add(stage))
    assert "--time-budget 0.01 ended fine-tuning before epoch 1 of 3; the best so far is kept" in run.notes
    assert not any(stage.startswith("epoch") for stage in stages)


def test_what_a_budget_is_for() -> None:
    """Without a number, auto has 300 seconds and a strategy that is named has no limit; a number binds each of them."""
    allowed = {strategy: TrainSettings.of(strategy=strategy).seconds_allowed for strategy in ("auto", "probe", "finetune")}
    assert allowed == {"auto": 300.0, "probe": math.inf, "finetune": math.inf}
    assert TrainSettings.of(strategy="finetune", time_budget=60).seconds_allowed == 60


def test_a_named_strategy_is_no_choice(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings]) -> None:
    """What was asked for by name is done, and nothing is said about it."""
    data = draw_classes({"circles": 3, "squares": 3})
    for strategy in ("probe", "finetune"):
        choice = choose(scanned(data, settings(strategy=strategy)))
        assert (choice.strategy, choice.epochs, choice.is_users) == (strategy, None, True)


@pytest.mark.slow
def test_auto_finetunes_where_it_pays(tints: Path, learning: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Where a probe is often wrong the network is fine-tuned; the run says what it gained, and keeps it."""
    run = headstart.train(tints, learning(), output=tmp_path / "run")
    assert run.metrics["strategy"] == "finetune", run.metrics["choice"]
    compared, why = run.metrics["choice"]["finetune_minus_probe"], run.metrics["choice"]["why"]
    assert compared["gain_ci95"][0] > 0 and compared["n"] == run.evaluation.n
    assert f"on val, where its epoch was chosen, it is better by {100 * compared['gain']:.1f} points [" in why
    probe = headstart.train(tints, learning(strategy="probe"), output=tmp_path / "probe")
    assert run.evaluation.accuracy - probe.evaluation.accuracy == pytest.approx(compared["gain"])
    manifest = json.loads((run.model / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["strategy"], manifest["settings"]["strategy"]) == ("finetune", "finetune")


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
    for given in (settings(), settings(strategy="finetune", time_budget=60)):
        with pytest.raises(SettingsError, match="a single process"):
            headstart.train(tints, given, output=tmp_path / "run")


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
