"""Runs in Weights & Biases: offline in a file that its own client sends, online, and with a server that fails."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS
from wandb_server import KEY, WandbServer, wandb_server

import headstart
from headstart.errors import HeadstartWarning
from headstart.settings import TrainSettings
from runs.conftest import breaks_at_epoch, metrics_of, rows_of

wandb = pytest.importorskip("wandb")
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_client(tracker_environment: pytest.MonkeyPatch) -> Iterator[None]:
    """The client reads its environment once, when it is first used."""
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def server(own_client: None) -> Iterator[WandbServer]:
    """A server that takes runs."""
    with wandb_server() as state:
        yield state


def has_all_of(server: WandbServer, run: Path) -> None:
    """Fails unless the server has the one run: settings, plan, each epoch, the numbers, pictures, report and model."""
    (identity,) = server.runs
    said, config, metrics = server.runs[identity], server.config(identity), metrics_of(run)
    assert (said["displayName"], said["project"], said["tags"]) == ("run", "headstart", ["finetune"])
    assert {"epochs": 2, "image_size": 48, "strategy": "finetune", "data": "split", "plan/epochs": 2}.items() <= config.items()
    for column in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"):
        told = [(row["epoch"], row[column]) for row in server.rows[identity] if column in row]
        assert told == [(int(row["epoch"]), float(row[column])) for row in rows_of(run / "history.csv")]
    summary, reported = json.loads(server.files["wandb-summary.json"]), metrics["evaluation"]
    assert summary["evaluation/accuracy"] == reported["accuracy"] and summary["evaluation/log_loss"] == reported["log_loss"]
    assert [summary[f"evaluation/accuracy_{bound}"] for bound in ("low", "high")] == reported["accuracy_ci95"]
    assert f"of {reported['n']} test images" in summary["summary"]
    pictures = {hashlib.sha256(server.files[name]).digest() for name in server.files if name.endswith(".png")}
    assert pictures == {hashlib.sha256(file.read_bytes()).digest() for file in (run / "figures").glob("*.png")}
    (report,) = (content for name, content in server.files.items() if name.endswith(".html"))
    assert report == (run / "report.html").read_bytes()
    (artifact,) = server.artifacts
    assert artifact["artifactTypeName"] == "model"
    entries = json.loads(server.files["wandb_manifest.json"])["contents"]
    kept = {name: base64.b64encode(hashlib.md5(_file(run, name).read_bytes()).digest()).decode() for name in entries}
    assert kept == {name: entry["digest"] for name, entry in entries.items()}
    assert {"weights.safetensors", "manifest.json", "metrics.json", "history.csv"} <= set(entries)


def _file(run: Path, name: str) -> Path:
    return run / name if name in ("metrics.json", "history.csv") else run / "model" / name


def test_offline_a_file_waits_until_it_is_sent(split_shapes, settings, tmp_path):
    """Without a key nothing is sent: the run is a file, of which `wandb sync` sends all."""
    told: list[str] = []
    run = tmp_path / "out" / "run"
    headstart.train(split_shapes, settings(strategy="finetune", epochs=2), output=run, log=["wandb"], tell=told.append)
    assert any(sentence.startswith("wandb: offline, as WANDB_API_KEY is not set") for sentence in told)
    (folder,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    with wandb_server() as server:
        command = [sys.executable, "-m", "wandb", "sync", str(folder)]
        ran = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    has_all_of(server, run)


def test_online_the_server_has_it_and_nothing_else(server, split_shapes, settings, tmp_path, capfd):
    """With a key the run is sent while it goes on: neither the machine's name nor the program, and nothing is printed."""
    headstart.train(split_shapes, settings(strategy="finetune", epochs=2), output=tmp_path / "run", log=["wandb"])
    has_all_of(server, tmp_path / "run")
    (identity,) = server.runs
    assert server.runs[identity].keys().isdisjoint({"host", "repo", "commit", "jobType"})
    assert server.runs[identity].get("program", "headstart") == "headstart"
    assert {"output.log", "requirements.txt", "wandb-metadata.json"}.isdisjoint(server.files)
    assert not [body for body in server.said if os.uname().nodename.encode() in body and len(os.uname().nodename) > 3]
    assert "wandb" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_refuses_never_costs_the_run(
    status: int,
    server: WandbServer,
    split_shapes: Path,
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    tracker_environment: pytest.MonkeyPatch,
) -> None:
    """A wrong key, or a server with an error: one warning, without the key, and the run is finished."""
    server.status = status
    tracker_environment.setenv("WANDB_INIT_TIMEOUT", "3")
    with pytest.warns(HeadstartWarning, match="^wandb failed, and gets nothing more of this run: ") as warned:
        headstart.train(split_shapes, settings(strategy="probe"), output=tmp_path / "run", log=["wandb"])
    (told,) = [str(one.message) for one in warned if "wandb" in str(one.message)]
    assert KEY not in told
    assert (tmp_path / "run" / "metrics.json").is_file() and server.asked


def test_a_server_that_breaks_never_costs_the_run(server, split_shapes, settings, tmp_path, tracker_environment):
    """It fails from the first epoch on: the run is finished, what was not sent is told, and waits in the folder."""
    tracker_environment.setenv("WANDB_FINISH_TIMEOUT", "3")

    def breaks() -> None:
        server.status = 500

    with pytest.warns(HeadstartWarning, match="^wandb failed, and gets nothing more of this run: "):
        headstart.train(
            split_shapes,
            settings(strategy="finetune", epochs=2),
            output=tmp_path / "out" / "run",
            log=["wandb"],
            progress=breaks_at_epoch(1, breaks),
        )
    assert len(rows_of(tmp_path / "out" / "run" / "history.csv")) == 3
    wandb.teardown()
    (folder,) = (tmp_path / "out" / "wandb").glob("run-*")
    server.status = 200
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", str(folder)]
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    (rows,) = server.rows.values()
    assert {row["epoch"] for row in rows} == {0, 1, 2}


def test_a_full_disk_never_costs_the_run(split_shapes, settings, tmp_path, small_disk, tracker_environment):
    """A folder that has no room for the run."""
    tracker_environment.setenv("WANDB_DIR", str(small_disk))
    with pytest.warns(HeadstartWarning, match="^wandb failed, and gets nothing more of this run: "):
        headstart.train(split_shapes, settings(strategy="probe"), output=tmp_path / "run", log=["wandb"])
    wandb.teardown()  # it keeps files open there
    assert (tmp_path / "run" / "metrics.json").is_file()
