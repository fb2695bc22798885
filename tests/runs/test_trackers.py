"""A run is recorded in the trackers that --log names, and is never lost by them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS, SIGNALS_ITSELF, TINY
from wandb_server import wandb_server

import headstart
from headstart.errors import HeadstartWarning, SettingsError
from headstart.model.history import Epoch
from headstart.record import trackers
from headstart.record.tracked import BegunRun
from headstart.record.trackers import Tracking
from runs.conftest import metrics_of, rows_of

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_environment(tracker_environment: pytest.MonkeyPatch) -> None:
    """Of each test."""


class Gone:
    """A tracker whose server goes away after the first epoch."""

    place = "nowhere"

    def __init__(self, root):
        self.told = []

    def begin(self, run, identity):
        return "1"

    def epoch(self, row):
        self.told.append(row.epoch)
        if row.epoch:
            raise ConnectionError("http://somebody:secret@host has gone")

    def report(self, run):
        raise AssertionError("it gets nothing more")

    end = report

    def leave(self):
        self.told.append("left")


def test_a_tracker_that_fails_is_a_warning(split_shapes, settings, tmp_path, monkeypatch):
    """The run goes on without it, and the warning has no password."""
    monkeypatch.setitem(trackers.OPENED_BY, "gone", Gone)
    with pytest.warns(HeadstartWarning, match=r"^gone failed, and gets nothing more of this run: http://host has gone$"):
        headstart.train(split_shapes, settings(strategy="finetune", epochs=2), output=tmp_path / "run", log=["gone"])
    assert (tmp_path / "run" / "metrics.json").is_file()


class Waits(Gone):
    """A tracker to which sending takes longer than the user likes."""

    def epoch(self, row):
        pass

    def report(self, run):
        raise KeyboardInterrupt


def test_interrupting_a_tracker_is_not_interrupting_the_run(split_shapes, settings, tmp_path, monkeypatch):
    """Ctrl-C while the files are sent: the run is in its place, complete, and a warning names the tracker."""
    monkeypatch.setitem(trackers.OPENED_BY, "slow", Waits)
    with pytest.warns(HeadstartWarning, match="^interrupted: slow may lack some of this run, which is finished$"):
        trained = headstart.train(split_shapes, settings(strategy="probe"), output=tmp_path / "run", log=["slow"])
    assert not trained.interrupted and (tmp_path / "run" / "report.html").is_file()
    assert not (tmp_path / "run" / "run.json").exists()


class Remembers:
    """A tracker that fails from an epoch on."""

    place = "here"

    def __init__(self, fails_at: int = 9) -> None:
        self.told: list[int] = []
        self.begun: list[str | None] = []
        self.fails_at = fails_at

    def begin(self, run, identity):
        self.begun.append(identity)
        return identity or "1"

    def epoch(self, row):
        if row.epoch >= self.fails_at:
            raise ConnectionError("it has gone")
        self.told.append(row.epoch)


def epochs(*numbers: int) -> list[Epoch]:
    return [
        Epoch(epoch=n, lr=0.0, train_loss=1.0, train_accuracy=0.5, val_loss=None, val_accuracy=None, seconds=1.0)
        for n in numbers
    ]


@pytest.mark.filterwarnings("ignore:second failed")
@pytest.mark.parametrize("knows", [True, False], ids=["told which epochs", "of an earlier version"])
def test_a_resumed_run_tells_each_tracker_what_it_lacks(tmp_path, knows):
    """No epoch twice and none left out: for one that has all, one that failed, and one that is named for the first time."""
    run, kept = BegunRun("run", tmp_path, {}, {}), {}

    def keep(identities, last):
        kept.update(identities=dict(identities), last=dict(last))

    first = Tracking({"whole": Remembers(), "second": Remembers(fails_at=1)})
    first.begin(run, [], {}, {}, keep)
    for row in epochs(0, 1, 2):
        first.epoch(row)
    assert kept == {"identities": {"whole": "1", "second": "1"}, "last": {"whole": 2, "second": 0}}
    whole, second, third = Remembers(), Remembers(), Remembers()
    again = Tracking({"whole": whole, "second": second, "third": third})
    again.begin(run, epochs(0, 1), kept["identities"], kept["last"] if knows else {}, keep)
    for row in epochs(2, 3):
        again.epoch(row)
    assert (whole.begun, second.begun, third.begun) == (["1"], ["1"], [None])
    assert (whole.told, second.told) == (([3], [1, 2, 3]) if knows else ([2, 3], [2, 3]))
    assert third.told == [0, 1, 2, 3]


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_and_resumed_stays_one_run(
    split_shapes: Path, tiny_weights: Path, tmp_path: Path, tracker_environment: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    """Ended after an epoch was told and before it was saved: each tracker has one run, finished, with no epoch twice.

    Nor is one missing, but that wandb may not have written what it was told in the last second before a kill -9.
    """
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker_environment.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    out, log = tmp_path / "out", ["--log", "mlflow,tensorboard,wandb"]
    small = ["--backbone", TINY, "--weights", str(tiny_weights), "--image-size", "48", "--device", "cpu", "--workers", "2"]
    given = [str(split_shapes), "--strategy", "finetune", "--epochs", "3", *small, "--output", str(out / "run")]
    second = ["-c", SIGNALS_ITSELF, sent.name, "os.rename", str(Path("checkpoints", "run", "state.json")), "2"]
    assert call([*second, "train", *given, *log], tmp_path) == (-signal.SIGKILL if sent == signal.SIGKILL else 130)
    folder = out / ("run.partial" if sent == signal.SIGKILL else "run")
    state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert set(state["tracked_epochs"].values()) == {2}
    assert call(["-m", "headstart", "train", "--resume", str(out / "run"), *log], tmp_path) == 0
    rows, metrics = [int(row["epoch"]) for row in rows_of(out / "run" / "history.csv")], metrics_of(out / "run")
    assert rows == [0, 1, 2, 3]

    client = MlflowClient((out / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("headstart").experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_id == state["tracked"]["mlflow"]
    assert [one.step for one in client.get_metric_history(found.info.run_id, "val_loss")] == rows
    assert found.data.metrics["evaluation/log_loss"] == metrics["evaluation"]["log_loss"]

    events = EventAccumulator(str(out / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val_loss")] == rows
    assert events.Scalars("evaluation/log_loss")[-1].value == pytest.approx(metrics["evaluation"]["log_loss"])

    with wandb_server() as server:
        for folder in sorted((out / "wandb").glob("offline-run-*")):
            call(["-m", "wandb", "sync", str(folder)], tmp_path)
    assert list(server.runs) == [state["tracked"]["wandb"]]
    (told,) = server.rows.values()
    sent_rows = [row["epoch"] for row in told if "val_loss" in row]
    if sent == signal.SIGINT:
        assert sent_rows == rows
    else:  # some of what was told before the kill may be lost, but nothing of what was told after it
        assert sent_rows == sorted(set(sent_rows)) and set(rows) - set(range(3)) <= set(sent_rows) <= set(rows)
    assert server.summaries[state["tracked"]["wandb"]]["evaluation/log_loss"] == metrics["evaluation"]["log_loss"]


def call(python: Sequence[str], folder: Path) -> int:
    """The exit code of a process of Python in this folder."""
    command = [sys.executable, *python]
    ran = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    return ran.returncode


def test_what_cannot_be_used_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    """A name that there is not, and a server that is not there: the data, which is not there either, is not looked at."""
    with pytest.raises(SettingsError, match="there is no tracker called 'mlfow'") as caught:
        headstart.train(tmp_path / "none", output=tmp_path / "run", log=["mlfow"])
    assert caught.value.hint == "did you mean mlflow?"
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SettingsError, match="mlflow cannot be used") as refused:
        headstart.train(tmp_path / "none", output=tmp_path / "run", log=["mlflow"])
    assert "secret" not in str(refused.value)
