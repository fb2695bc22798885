"""What a run folder has come to is one word in run.json, and every way from one to the next is safe to end in."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tints import quick_settings

import headstart
from headstart.data.given import open_given
from headstart.errors import DataError, SettingsError
from headstart.fitting.choice import Choice, keep_probe
from headstart.fitting.scanned import Scanned, scan_given
from headstart.record.places import METRICS, STATE
from headstart.record.run_folder import RunFolder, new_run, resumed_run
from headstart.settings import TrainSettings


@pytest.fixture
def settings(tiny_weights: Path) -> Callable[..., TrainSettings]:
    return partial(quick_settings, tiny_weights)


@pytest.fixture
def data(draw_classes: Callable[..., Path]) -> Path:
    return draw_classes({"circles": 8, "squares": 8})


@pytest.fixture
def scanned(data: Path, settings: Callable[..., TrainSettings]) -> Scanned:
    with open_given(data, settings()) as sources:
        return scan_given(sources, settings())


def state_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return found


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_from_new_to_finished(scanned: Scanned, tmp_path: Path) -> None:
    """new, running, chosen: each is on disk when the step is done; a finished run has no run.json."""
    place = tmp_path / "run"
    folder = new_run("data", scanned.settings, "data", place, overwrite=False)
    assert state_in(folder.partial)["stage"] == "new"
    folder.start(scanned)
    assert state_in(folder.partial)["stage"] == "running"
    folder.choose(keep_probe("a reason"))
    assert (state_in(folder.partial)["stage"], state_in(folder.partial)["choice"]["why"]) == ("chosen", "the probe: a reason")
    folder.finish(interrupted=False)
    assert place.is_dir() and not folder.partial.exists() and not (place / STATE).exists()


def test_a_named_strategy_is_not_recorded_as_a_choice(scanned: Scanned, tmp_path: Path) -> None:
    """Only what --strategy auto chose is kept for a resume."""
    folder = new_run("data", scanned.settings, "data", tmp_path / "run", overwrite=False)
    folder.start(scanned)
    folder.choose(Choice(strategy="probe", why="it was asked for", is_users=True))
    assert (state_in(folder.partial)["stage"], folder.choice) == ("running", None)


def test_a_made_up_name_names_what_was_chosen(scanned: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without --output is at runs/<data>-auto-<n> until auto has chosen, then at the next free name of that strategy."""
    monkeypatch.chdir(tmp_path)
    Path("runs/a_b-probe-1").mkdir(parents=True)
    folder = new_run("data", scanned.settings, "a b", None, overwrite=False)
    assert folder.place.as_posix() == "runs/a_b-auto-1"
    folder.start(scanned)
    folder.choose(keep_probe("a reason"))
    assert folder.place.as_posix() == "runs/a_b-probe-2"
    assert sorted(path.name for path in Path("runs").iterdir()) == ["a_b-probe-1", "a_b-probe-2.partial"]


def test_what_is_abandoned(scanned: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails before its first epoch leaves nothing behind; one with a checkpoint stays to be resumed."""
    monkeypatch.chdir(tmp_path)
    folder = new_run("data", scanned.settings, "data", None, overwrite=False)
    folder.abandon()
    assert list(tmp_path.glob("runs*")) == []
    folder = new_run("data", scanned.settings, "data", None, overwrite=False)
    (folder.checkpoints / "run").mkdir(parents=True)
    (folder.checkpoints / "run" / "state.json").write_text("{}")
    folder.abandon()
    assert folder.partial.is_dir()


@pytest.fixture
def interrupted(data: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> Path:
    """A fine-tuning of three epochs, ended by Ctrl-C in its third."""

    def press(stage: str, done: int, total: int) -> None:
        if stage == "epoch 3 of 3":
            raise KeyboardInterrupt

    chosen = settings(strategy="finetune", epochs=3, learning_rate=0.001)
    run = headstart.train(data, chosen, output=tmp_path / "run", progress=press)
    assert run.interrupted and state_in(run.run)["stage"] == "interrupted"
    return run.run


@pytest.mark.parametrize("wrong", ["data", "settings", "images"])
def test_a_refused_resume_leaves_everything_as_it_was(wrong: str, interrupted: Path, data: Path, tmp_path: Path) -> None:
    """Other DATA, other settings or changed images: the run is untouched, and the next --resume ends it."""
    before = content_of(interrupted)
    given: dict[str, Any] = {"data": tmp_path if wrong == "data" else None}
    given["settings"] = TrainSettings(seed=7) if wrong == "settings" else None
    hidden = data / "circles" / "circles-0.png"
    if wrong == "images":
        hidden.rename(tmp_path / "hidden.png")
    with pytest.raises(DataError if wrong == "images" else SettingsError):
        headstart.train(**given, resume=interrupted)
    assert content_of(interrupted) == before
    assert not interrupted.with_name("run.partial").exists()
    if wrong == "images":
        (tmp_path / "hidden.png").rename(hidden)
    assert not headstart.train(None, resume=interrupted).interrupted


class KilledError(Exception):
    """Stands for the end of the process."""


@contextmanager
def killing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int, int], None]]:
    """A progress function that ends the run in its last epoch, without the tidying up that a killed process cannot do."""

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "epoch 3 of 3":
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "abandon", lambda self: None)
        yield kill


def test_a_resume_that_is_killed_goes_on(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A --resume killed twice leaves the interrupted run in its place and a copy that says what it is; a third ends it."""
    before = content_of(interrupted)
    for _ in range(2):
        with killing(monkeypatch) as kill, pytest.raises(KilledError):
            headstart.train(None, resume=interrupted, progress=kill)
        assert content_of(interrupted) == before
        assert state_in(interrupted.with_name("run.partial"))["stage"] == "resumed"
    done = headstart.train(None, resume=interrupted)
    assert not done.interrupted and len((done.run / "history.csv").read_text().splitlines()) == 5
    assert not interrupted.with_name("run.partial").exists() and not (done.run / STATE).exists()


def test_a_resume_that_fails_keeps_its_epochs(interrupted: Path) -> None:
    """What a failing --resume has got further than the interrupted run stays to be resumed; a mere copy goes."""

    def fail(at: str) -> Callable[[str, int, int], None]:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == at:
                raise KilledError

        return progress

    partial = interrupted.with_name("run.partial")
    with pytest.raises(KilledError):
        headstart.train(None, resume=interrupted, progress=fail("epoch 3 of 3"))
    assert not partial.exists()
    with pytest.raises(KilledError):
        headstart.train(None, resume=interrupted, progress=fail("writing the run"))
    assert state_in(partial)["stage"] == "resumed"
    assert not headstart.train(None, resume=interrupted).interrupted


def test_an_earlier_versions_file_is_read(interrupted: Path, tmp_path: Path) -> None:
    """run.json without a stage: beside an interrupted run its partial is a copy of it, alone it is a run that was killed."""
    partial = shutil.copytree(interrupted, interrupted.with_name("run.partial"))
    old = {key: value for key, value in state_in(partial).items() if key in ("data", "settings", "images_sha256")}
    (partial / STATE).write_text(json.dumps(old))
    assert resumed_run(interrupted, None, TrainSettings()).state.stage == "resumed"
    interrupted.rename(tmp_path / "elsewhere")
    assert resumed_run(interrupted, None, TrainSettings()).state.stage == "running"


@pytest.mark.parametrize(
    "change", [{"stage": "asleep"}, {"images_sha256": "../../x"}, {"settings": {"epochs": "3"}}, {"data": 5}]
)
def test_a_damaged_file_is_refused(change: dict[str, Any], interrupted: Path) -> None:
    """A value that cannot be is a sentence, and nothing is copied."""
    (interrupted / STATE).write_text(json.dumps(state_in(interrupted) | change))
    with pytest.raises(SettingsError, match="cannot be resumed"):
        headstart.train(None, resume=interrupted)
    assert not interrupted.with_name("run.partial").exists()


def test_a_place_taken_in_the_meantime(scanned: Scanned, tmp_path: Path) -> None:
    """Something that came to the run's place is not replaced: the finished run stays where it was built, and says so."""
    folder = new_run("data", scanned.settings, "data", tmp_path / "run", overwrite=False)
    folder.start(replace(scanned))
    (folder.partial / METRICS).write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("three years of work")
    with pytest.raises(SettingsError, match="cannot be moved to") as caught:
        folder.finish(interrupted=False)
    assert str(folder.partial) in caught.value.hint
    folder.abandon()
    assert (folder.partial / METRICS).exists() and (tmp_path / "run" / "thesis.txt").exists()
