"""A run that is killed or interrupted: what it leaves, and that going on ends where it would have ended."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COLOURS, PATIENCE_SECONDS, SIGNALS_ITSELF, TINY, draw_shape, lend_compiled_forms

import headstart
from headstart.errors import DataError, SettingsError
from headstart.record.run_folder import new_run, resumed_run
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file

CLASSES = sorted(COLOURS)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for i in range(30):
            draw_shape(label, rng, (160, 140)).save(folder / label / f"{i}.png")
    return folder


STATE = str(Path("checkpoints", "run", "state.json"))


def run_train(arguments: list[str], home: Path, signal: str = "", nth_checkpoint: int = 0) -> tuple[int, str]:
    """Exit code and stdout of a run, which may send itself a signal in the middle of writing a checkpoint."""
    python = ["-c", SIGNALS_ITSELF, signal, "os.rename", STATE, str(nth_checkpoint)] if signal else ["-m", "headstart"]
    command = [sys.executable, *python, "train", *arguments, "--json"]
    environment = {**os.environ, "HEADSTART_HOME": str(home)}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE_SECONDS, check=False)
    return ran.returncode, ran.stdout


def metrics_of(ran: tuple[int, str], code: int = 0) -> dict[str, Any]:
    assert ran[0] == code
    metrics: dict[str, Any] = json.loads(ran[1])
    return metrics


def weights_sha256(run: Path) -> str:
    return sha256_of_file(run / "model" / "weights.safetensors")


def epochs_of(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as lines:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(lines)]


@pytest.fixture(scope="module")
def arguments(data: Path, tiny_weights: Path) -> list[str]:
    chosen = ["--strategy", "finetune", "--epochs", "3", "--backbone", TINY, "--weights", str(tiny_weights)]
    return [str(data), *chosen, "--image-size", "96", "--device", "cpu", "--workers", "2", "--offline"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, compiled_forms: Path) -> Path:
    """The home of the processes that are started here."""
    folder = tmp_path_factory.mktemp("home of processes")
    lend_compiled_forms(folder, compiled_forms)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(arguments: list[str], home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    metrics = metrics_of(run_train([*arguments, "--output", str(folder / "run")], home))
    assert metrics["interrupted"] is False
    return folder / "run"


@pytest.mark.slow
def test_killed_and_resumed(arguments: list[str], home: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """A run killed after its first epoch leaves no half bundle; resumed, its weights are those of an uninterrupted one."""
    run, partial = tmp_path / "run", tmp_path / "run.partial"
    ended = run_train([*arguments, "--output", str(run)], home, "SIGKILL", nth_checkpoint=2)
    assert ended == (-signal.SIGKILL, "")
    assert not run.exists()
    refused = subprocess.run(
        [sys.executable, "-m", "headstart", "predict", str(partial), "x.png"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "--resume" in refused.stderr
    metrics = metrics_of(run_train(["--resume", str(run)], home))
    assert metrics["interrupted"] is False
    assert weights_sha256(run) == weights_sha256(uninterrupted)
    assert epochs_of(run) == epochs_of(uninterrupted)
    assert metrics["evaluation"] == json.loads((uninterrupted / "metrics.json").read_text())["evaluation"]
    assert not partial.exists()
    assert not (run / "checkpoints").exists()


@pytest.mark.slow
def test_interrupted_and_resumed(arguments: list[str], home: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Ctrl-C completes the run folder with the best so far and exits with 130; it can be resumed to the very end."""
    run, partial = tmp_path / "run", tmp_path / "run.partial"
    ended = run_train([*arguments, "--output", str(run)], home, "SIGINT", nth_checkpoint=2)
    metrics = metrics_of(ended, code=130)
    assert metrics["interrupted"] is True
    assert any(note.startswith("interrupted: epoch ") for note in metrics["notes"])
    assert metrics == json.loads((run / "metrics.json").read_text())
    assert 2 <= len(epochs_of(run)) < 4
    for name in ("model/manifest.json", "model/weights.safetensors", "predictions.csv", "report.html"):
        assert (run / name).is_file()
    assert not partial.exists()
    resumed = metrics_of(run_train(["--resume", str(run)], home))
    assert resumed["interrupted"] is False
    assert weights_sha256(run) == weights_sha256(uninterrupted)
    assert epochs_of(run) == epochs_of(uninterrupted)


# The same within one process, for the cases that a signal cannot hit exactly


@pytest.fixture
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    def make(**values: Any) -> TrainSettings:
        small = {"backbone": TINY, "weights": tiny_weights, "image_size": 48, "workers": 2, "device": "cpu"}
        return TrainSettings.of(**(small | {"strategy": "finetune", "epochs": 2} | values))

    return make


class Killed(Exception):  # noqa: N818 - no failure of the program
    """Stands for a process that ends without a word."""


def ends_at(stage: str, error: type[BaseException]) -> Callable[[str, int, int], None]:
    def progress(now: str, done: int, total: int) -> None:
        if now == stage:
            raise error

    return progress


@pytest.fixture
def killed(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path) -> tuple[Path, Path]:
    """Data, and a run of it that ended in its second epoch."""
    data = draw_classes(dict.fromkeys(CLASSES, 6))
    with pytest.raises(Killed):
        headstart.train(data, settings(), output=tmp_path / "run", progress=ends_at("epoch 2 of 2", Killed))
    return data, tmp_path / "run"


def test_a_partial_folder_can_be_named_too(killed: tuple[Path, Path]) -> None:
    """--resume takes the run's own name and that of the folder it was built in."""
    _, run = killed
    trained = headstart.train(None, resume=run.with_name("run.partial"))
    assert trained.run == run
    assert len(epochs_of(run)) == 3


def test_killed_while_writing(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A run that ended while its report was drawn is completed without training again."""
    data = draw_classes(dict.fromkeys(CLASSES, 6))
    with pytest.raises(Killed):
        headstart.train(data, settings(), output=tmp_path / "run", progress=ends_at("writing the run", Killed))
    stages: list[str] = []
    trained = headstart.train(None, resume=tmp_path / "run", progress=lambda stage, *_: stages.append(stage))
    assert not [stage for stage in stages if stage.startswith("epoch ")]
    whole = headstart.train(data, settings(), output=tmp_path / "whole")
    assert weights_sha256(trained.run) == weights_sha256(whole.run)


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt])
def test_ended_while_refitting(
    error: type[BaseException], draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A run that ends while refitting trains the first part no second time and ends with the weights of a whole one.

    Ctrl-C then leaves the model trained on train alone, marked as interrupted.
    """
    data = draw_classes({"circles": 6, "squares": 6}, "data/train").parent
    draw_classes({"circles": 3, "squares": 3}, "drawn")
    (data / "val").mkdir()
    for label, other in (("circles", "squares"), ("squares", "circles")):  # a val that the fitted head gets all wrong
        (tmp_path / "drawn" / label).rename(data / "val" / other)
    chosen = settings(refit=True, learning_rate=0.02)
    whole = headstart.train(data, chosen, output=tmp_path / "whole")
    assert whole.metrics["best_epoch"] > 0
    stages: list[str] = []

    def end_in_second_training(now: str, done: int, total: int) -> None:
        if now == "epoch 1 of 2" and "epoch 2 of 2" in stages:
            raise error
        stages.append(now)

    if error is Killed:
        with pytest.raises(Killed):
            headstart.train(data, chosen, output=tmp_path / "run", progress=end_in_second_training)
    else:
        first = headstart.train(data, chosen, output=tmp_path / "run", progress=end_in_second_training)
        assert first.interrupted
        assert (first.metrics["interrupted"], first.metrics["refit"]) == (True, False)
        assert any("interrupted while refitting" in note for note in first.notes)
    trained = headstart.train(None, resume=tmp_path / "run")
    assert (trained.metrics["interrupted"], trained.metrics["refit"]) == (False, True)
    assert weights_sha256(trained.run) == weights_sha256(whole.run)


def test_changed_images_are_refused(killed: tuple[Path, Path]) -> None:
    """A run whose images have changed since is not gone on with; what it had is kept."""
    data, run = killed
    (data / CLASSES[0] / f"{CLASSES[0]}-0.png").unlink()
    with pytest.raises(DataError, match="the images have changed since the run was started") as caught:
        headstart.train(None, resume=run)
    assert caught.value.hint == "start a new run"
    assert (run.with_name("run.partial") / "checkpoints" / "run" / "state.json").is_file()


@pytest.fixture
def interrupted(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path) -> tuple[Path, Path]:
    """Data, and a run of it that Ctrl-C ended in its second of three epochs."""
    data = draw_classes(dict.fromkeys(CLASSES, 6))
    chosen, stop = settings(epochs=3), ends_at("epoch 2 of 3", KeyboardInterrupt)
    assert headstart.train(data, chosen, output=tmp_path / "run", progress=stop).interrupted
    return data, tmp_path / "run"


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("refusal", ["data gone", "images changed", "other data", "other settings"])
@pytest.mark.parametrize("kind", ["killed", "interrupted"])
def test_a_refused_resume_changes_nothing(
    kind: str, refusal: str, request: pytest.FixtureRequest, settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Whatever a resume is refused for, nothing is left of it, and once that is mended the run is resumed to its end."""
    data, run = request.getfixturevalue(kind)
    image, aside = data / CLASSES[0] / f"{CLASSES[0]}-0.png", tmp_path / "aside"
    if refusal == "data gone":
        data.rename(aside)
    elif refusal == "images changed":
        image.rename(aside)
    before = everything_in(tmp_path)
    given = TrainSettings.of(learning_rate=0.5) if refusal == "other settings" else None
    with pytest.raises((DataError, SettingsError)):
        headstart.train(tmp_path / "other" if refusal == "other data" else None, given, resume=run)
    assert everything_in(tmp_path) == before
    if aside.exists():
        aside.rename(data if refusal == "data gone" else image)
    assert not headstart.train(None, resume=run).interrupted


def test_a_resumed_run_that_is_killed_twice(
    interrupted: tuple[Path, Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Interrupted, resumed and killed, resumed and killed again: it ends with the weights of a run that nobody disturbed."""
    data, run = interrupted
    before = everything_in(run)
    for stage in ("epoch 3 of 3", "writing the run"):
        with pytest.raises(Killed):
            headstart.train(None, resume=run, progress=ends_at(stage, Killed))
        assert everything_in(run) == before
    resumed = headstart.train(None, resume=run)
    whole = headstart.train(data, settings(epochs=3), output=tmp_path / "whole")
    assert not resumed.interrupted and not run.with_name("run.partial").exists()
    assert weights_sha256(run) == weights_sha256(whole.run)
    assert epochs_of(run) == epochs_of(whole.run)


def test_settings_and_data_are_the_runs_own(
    killed: tuple[Path, Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Other data or other settings beside --resume are refused by name; the same ones do no harm."""
    data, run = killed
    with pytest.raises(SettingsError, match=r"run was started on .*shapes, not ") as caught:
        headstart.train(tmp_path / "other", resume=run)
    assert caught.value.hint == "leave out DATA, or give the same"
    with pytest.raises(SettingsError, match=r"--learning-rate differs from the value .*run was started with"):
        headstart.train(None, TrainSettings.of(learning_rate=0.5), resume=run)
    assert headstart.train(data, settings(), resume=run).run == run


@pytest.mark.parametrize("content", ["", "{}", '{"data": "x", "settings": {"epochs": -1}}', "[1]"])
def test_damaged_state(content: str, killed: tuple[Path, Path]) -> None:
    """Resuming a run with a damaged record is an error that says how to start again."""
    _, run = killed
    (run.with_name("run.partial") / "run.json").write_text(content)
    with pytest.raises(SettingsError, match=r"run.partial cannot be resumed") as caught:
        headstart.train(None, resume=run)
    assert caught.value.hint == "start again with --overwrite"


def test_nothing_to_resume(draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A finished run, and one that never was, cannot be resumed; each is told apart."""
    data = draw_classes(dict.fromkeys(CLASSES, 5))
    done = headstart.train(data, settings(strategy="probe", epochs=None), output=tmp_path / "done")
    with pytest.raises(SettingsError, match="done is finished: there is nothing to resume"):
        headstart.train(None, resume=done.run)
    with pytest.raises(SettingsError, match=r"there is no run .*none to resume") as caught:
        headstart.train(None, resume=tmp_path / "none")
    assert "none.partial" in caught.value.hint


def test_an_unfinished_run_is_in_the_way(killed: tuple[Path, Path], settings: Callable[..., TrainSettings]) -> None:
    """A new run at the place of an unfinished one is refused, with both ways out; --overwrite starts again."""
    data, run = killed
    with pytest.raises(SettingsError, match=r"there is an unfinished run at .*run.partial") as caught:
        headstart.train(data, settings(), output=run)
    assert caught.value.hint == f"resume it with --resume {run}, or start again with --overwrite"
    assert headstart.train(data, settings(seed=1), output=run, overwrite=True).run == run
    assert not run.with_name("run.partial").exists()


@pytest.mark.parametrize("name", [".", "../run"])
def test_a_run_named_from_inside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--resume . means the folder one is in: the answer is of that folder."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(SettingsError, match=r"there is no run .*run to resume"):
        resumed_run(Path(name), None, TrainSettings())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """An output below a file cannot be created, and the sentence names it."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"file/run.partial cannot be created") as caught:
        new_run("data", TrainSettings(), "data", tmp_path / "file" / "run", overwrite=False)
    assert caught.value.hint == "choose another --output"
