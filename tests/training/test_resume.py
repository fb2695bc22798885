"""Promises for runs that do not end as planned: killed, interrupted, gone on with."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart import HeadstartError, TrainSettings, train
from headstart.storage import sha256_of_file
from training.conftest import TINY

pytestmark = pytest.mark.slow


@pytest.fixture
def arguments(draw_classes: Callable[..., Path], tiny_weights: Path) -> list[str]:
    """A fine-tuning of the tiny network that takes some seconds."""
    data = draw_classes({"circles": 40, "squares": 40})
    options = ["--backbone", TINY, "--weights", str(tiny_weights), "--strategy", "finetune", "--epochs", "6"]
    return ["train", str(data), *options, "--batch-size", "4", "--device", "cpu"]


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "headstart", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for_epoch(run: Path, epoch: int, process: "subprocess.Popen[str]") -> None:
    """Returns once the checkpoint of `epoch` is there."""
    state = run.with_name(run.name + ".partial") / "checkpoints" / "run" / "state.json"
    for _ in range(3000):
        if state.exists() and json.loads(state.read_text(encoding="utf-8"))["history"][-1]["epoch"] >= epoch:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no checkpoint came")


def test_killed_run_goes_on(arguments: list[str], tmp_path: Path) -> None:
    """A run killed in the middle and resumed ends with the very weights, history and metrics of one that was not."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(start(*arguments, "--output", str(whole)))[0] == 0
    process = start(*arguments, "--output", str(killed))
    wait_for_epoch(killed, 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not killed.exists(), "a killed run leaves no half bundle"
    with pytest.raises(HeadstartError, match="unfinished run"):
        train(arguments[1], TrainSettings(), output=killed)
    code, _, err = finish(start("train", "--resume", str(killed)))
    assert code == 0, err
    assert sha256_of_file(whole / "model" / "weights.safetensors") == sha256_of_file(killed / "model" / "weights.safetensors")
    first, second = (json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in (whole, killed))
    for metrics in (first, second):
        for key in ("seconds", "peak_rss_mb", "run", "model"):
            del metrics[key]
    assert first == second
    histories = [[line.rsplit(",", 1)[0] for line in (run / "history.csv").read_text().splitlines()] for run in (whole, killed)]
    assert histories[0] == histories[1]
    assert not (killed / "checkpoints").exists()
    code, _, err = finish(start("train", "--resume", str(killed)))
    assert code == 1
    assert "finished: there is nothing to resume" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise on Windows")
def test_interrupted_run_is_completed(arguments: list[str], tmp_path: Path) -> None:
    """Ctrl-C completes the run folder with the best epoch so far, exit code 130; it can be gone on with."""
    run = tmp_path / "run"
    process = start(*arguments, "--output", str(run), "--json")
    wait_for_epoch(run, 1, process)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130, err
    metrics = json.loads(out)
    assert metrics["interrupted"] is True
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8")) == metrics
    assert (run / "model" / "manifest.json").is_file()
    assert (run / "report.html").is_file()
    done = len((run / "history.csv").read_text().splitlines()) - 2  # the header and epoch 0
    assert 1 <= done < 6
    code, out, err = finish(start("train", "--resume", str(run), "--json"))
    assert code == 0, err
    assert json.loads(out)["interrupted"] is False
    assert len((run / "history.csv").read_text().splitlines()) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise on Windows")
def test_interrupted_before_anything(arguments: list[str], tmp_path: Path) -> None:
    """Ctrl-C before the first epoch leaves nothing behind, exit code 130, no traceback."""
    run = tmp_path / "run"
    process = start(*arguments, "--output", str(run))
    partial = run.with_name("run.partial")
    while not partial.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "Traceback" not in err
    assert not partial.exists() or any(partial.glob("checkpoints/run/state.json"))


def test_resume_refuses_what_has_changed(arguments: list[str], tmp_path: Path) -> None:
    """A resumed run must be of the same data and settings; each difference is a sentence."""
    run = tmp_path / "run"
    process = start(*arguments, "--output", str(run))
    wait_for_epoch(run, 1, process)
    process.kill()
    process.communicate()
    with pytest.raises(HeadstartError, match="--epochs differs"):
        train(None, TrainSettings(epochs=9), resume=run)
    with pytest.raises(HeadstartError, match="was started on"):
        train("elsewhere", TrainSettings(), resume=run)
    extra = Path(arguments[1]) / "circles" / "circles-0.png"
    extra.rename(extra.with_name("circles-x.png"))
    (extra.parent / "circles-y.png").write_bytes(extra.with_name("circles-1.png").read_bytes())
    with pytest.raises(HeadstartError, match="images have changed"):
        train(None, TrainSettings(), resume=run)
    with pytest.raises(HeadstartError, match="there is no run"):
        train(None, TrainSettings(), resume=tmp_path / "nothing")
