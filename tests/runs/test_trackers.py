"""A run is recorded in the trackers that --log names, and is never lost by them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart
from headstart.errors import HeadstartWarning, SettingsError
from headstart.record import trackers
from headstart.settings import TrainSettings
from runs.conftest import metrics_of, rows_of

pytestmark = pytest.mark.slow
VARIABLES = ("MLFLOW_", "WANDB_")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What trackers set of the environment, or find there, is of no other test."""
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")  # noted, to be taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def finetuned(data: Path, settings: Callable[..., TrainSettings], output: Path, *log: str) -> list[str]:
    told: list[str] = []
    headstart.train(data, settings(strategy="finetune", epochs=2), output=output, log=log, tell=told.append)
    return told


def test_tensorboard_has_every_epoch_and_the_evaluation(split_shapes, settings, tmp_path):
    """Real event files in the run folder: the numbers of history.csv and metrics.json, and the figures."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    finetuned(split_shapes, settings, tmp_path / "out" / "run", "tensorboard")
    run = tmp_path / "out" / "run"
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    rows = rows_of(run / "history.csv")
    read = [(event.step, event.value) for event in events.Scalars("val_loss")]
    assert read == [(int(row["epoch"]), pytest.approx(float(row["val_loss"]))) for row in rows]
    accuracy = events.Scalars("evaluation/accuracy")[-1].value
    assert accuracy == pytest.approx(metrics_of(run)["evaluation"]["accuracy"])
    assert "figures/confusion" in events.Tags()["images"]


def test_mlflow_has_the_run_beside_it(split_shapes, settings, tmp_path):
    """Without MLFLOW_TRACKING_URI the store is beside the run, which is told: settings, epochs, evaluation, files."""
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    told = finetuned(split_shapes, settings, tmp_path / "out" / "run", "mlflow")
    assert any("mlruns, as MLFLOW_TRACKING_URI is not set" in sentence for sentence in told)
    client = MlflowClient((tmp_path / "out" / "mlruns").as_uri())
    found = client.search_runs([client.get_experiment_by_name("headstart").experiment_id])[0]
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["epochs"] == "2"
    assert found.data.tags["strategy"] == "finetune" and "circles" in found.data.tags["classes"]
    history = client.get_metric_history(found.info.run_id, "val_loss")
    rows = rows_of(tmp_path / "out" / "run" / "history.csv")
    assert [(one.step, one.value) for one in history] == [(int(row["epoch"]), float(row["val_loss"])) for row in rows]
    metrics = metrics_of(tmp_path / "out" / "run")
    assert found.data.metrics["evaluation/accuracy"] == metrics["evaluation"]["accuracy"]
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"report.html", "metrics.json", "figures", "model"} <= files


def test_wandb_is_offline_unless_asked(split_shapes, settings, tmp_path):
    """Without a key nothing is sent: the run is a file that `wandb sync` takes."""
    pytest.importorskip("wandb")
    told = finetuned(split_shapes, settings, tmp_path / "out" / "run", "wandb")
    assert any(sentence.startswith("wandb: offline") for sentence in told)
    assert list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))


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


def test_a_tracker_that_fails_is_a_warning(split_shapes, settings, tmp_path, monkeypatch):
    """The run goes on without it, and the warning has no password."""
    monkeypatch.setitem(trackers.OPENED_BY, "gone", Gone)
    with pytest.warns(HeadstartWarning, match=r"^gone failed, and gets nothing more of this run: http://host has gone$"):
        finetuned(split_shapes, settings, tmp_path / "run", "gone")
    assert (tmp_path / "run" / "metrics.json").is_file()


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
