"""Fine-tuning on a Ray cluster of two nodes with one core each, which ends as it does in two processes under torchrun."""

import csv
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import COLOURS, TINY, wait_until

pytest.importorskip("ray.train")

import headstart
from headstart.errors import DataError, HeadstartError, SettingsError, TrainingError
from headstart.jobs.ray_cluster import connected
from headstart.jobs.ray_training import ClusterTraining, train_on_ray
from headstart.progress import Progress, silent
from headstart.record.trained import Trained
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_file

pytestmark = [pytest.mark.process, pytest.mark.slow]
STATE = str(Path("checkpoints", "run", "state.json"))
# In each process of the cluster: its second checkpoint is not written as long as there is a file `wait`; where there is a file
# `kill`, the process that writes one removes the file and kills itself instead.
AT_CHECKPOINTS = f"""
import os, signal, sys, time
from pathlib import Path
n_written, notes = 0, Path(__file__).parent
def watch(event, arguments):
    global n_written
    if event == "os.rename" and str(arguments[1]).endswith({STATE!r}):
        n_written += 1
        while n_written == 2 and (notes / "wait").exists():
            time.sleep(0.05)
        if (notes / "kill").exists():
            (notes / "kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder from which processes of the cluster know what to do, and where they note what they did."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / "sitecustomize.py").write_text(AT_CHECKPOINTS)
    return folder


@pytest.fixture(scope="module")
def cluster(notes: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(notes))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may start as slowly as they like."""
    monkeypatch.setattr("headstart.jobs.ray_training.TOLD_SECONDS", math.inf)
    monkeypatch.setattr("headstart.jobs.ray_crew.TOLD_SECONDS", math.inf)


@pytest.fixture
def data(draw_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of one colour, so that there is something to train."""
    monkeypatch.setitem(COLOURS, "squares", COLOURS["circles"])
    return draw_classes({"circles": 12, "squares": 12}, seed=4)


@pytest.fixture
def train_there(cluster: Any, data: Path, tiny_weights: Path, tmp_path: Path) -> Callable[..., Trained]:
    """Call it as train_there("name"): trains on the cluster. With resume=True it resumes that run."""

    def train(name: str, progress: Progress = silent, *, resume: bool = False) -> Trained:
        place = f"ray:{cluster.address}"
        if resume:
            return headstart.train(None, TrainSettings.of(workplace=place), resume=tmp_path / name, pictures=False)
        chosen = {"strategy": "finetune", "epochs": 3, "image_size": 64, "batch_size": 4, "device": "cpu"}
        settings = TrainSettings.of(backbone=TINY, weights=tiny_weights, workplace=place, **chosen)
        return headstart.train(data, settings, output=tmp_path / name, pictures=False, progress=progress)

    return train


@pytest.fixture
def undisturbed(data: Path, tiny_weights: Path, tmp_path: Path) -> Path:
    """The run of two processes under torchrun that nobody disturbs."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "headstart"]
    chosen = ["--strategy", "finetune", "--epochs", "3", "--image-size", "64", "--batch-size", "4", "--device", "cpu"]
    weights = ["--backbone", TINY, "--weights", str(tiny_weights)]
    run = tmp_path / "undisturbed"
    command = [sys.executable, *torchrun, "train", str(data), *chosen, *weights, "--json", "--output", str(run)]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert ran.returncode == 0, ran.stderr
    return run


def content_of(run: Path) -> tuple[str, list[dict[str, str]], list[str]]:
    """The digest of the weights, the history without seconds, and the names of the files."""
    with (run / "history.csv").open(newline="") as lines:
        epochs = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(lines)]
    return sha256_of_file(run / "model" / "weights.safetensors"), epochs, sorted(path.name for path in run.iterdir())


def test_interrupted_and_killed_it_ends_as_undisturbed(
    train_there: Callable[..., Trained], undisturbed: Path, notes: Path, tmp_path: Path
) -> None:
    """A run that Ctrl-C ends in its second epoch has the best so far. Resumed, a worker is killed in that epoch, which is made
    good for: the run ends with the bits of two processes under torchrun that nobody disturbs.
    """

    def interrupt(stage: str, done: int, total: int) -> None:
        if "epoch" in stage or stage == "validating":
            wait_until((tmp_path / "run.partial" / STATE).exists)
            raise KeyboardInterrupt

    (notes / "wait").touch()
    interrupted = train_there("run", interrupt)
    assert interrupted.interrupted
    assert [row["epoch"] for row in content_of(interrupted.run)[1]] == ["0", "1"]
    with pytest.raises(TrainingError, match="was begun in 2 processes"):
        headstart.train(None, resume=interrupted.run)
    assert not (tmp_path / "run.partial").exists()

    (notes / "wait").unlink()
    (notes / "kill").touch()
    resumed = train_there("run", resume=True)
    assert not (notes / "kill").exists()  # its second epoch was run twice
    assert not resumed.interrupted
    assert resumed.metrics["best_epoch"] > 0  # it is trained weights that are compared
    assert content_of(resumed.run) == content_of(undisturbed)
    with pytest.raises(SettingsError, match="nothing to resume"):
        train_there("run", resume=True)


def test_what_is_wrong_on_a_node_is_one_sentence(train_there: Callable[..., Trained], data: Path, tmp_path: Path) -> None:
    """A run that cannot go on ends with the error that a worker had, at once, and its workers are gone."""

    def lose_images(stage: str, done: int, total: int) -> None:
        if stage == "choosing the strength":  # after the scan, before the epochs
            for lost in (data / "circles").glob("*.png"):
                lost.unlink()

    with pytest.raises(DataError, match="could be read before but not now"):
        train_there("lost", lose_images)
    assert not (tmp_path / "lost.partial").exists()


def has_loop_run(cluster: Any, file: Path, **changed: Any) -> None:
    """Trains on the cluster with a loop that always fails."""
    file.touch()
    training = ClusterTraining(len, needed=file, saved=file.stat, on_gpu=False, begun_with=None, most=1)  # type: ignore[arg-type]
    train_on_ray(replace(training, **changed), cluster.address, silent)


def test_too_small_a_cluster(cluster: Any, tmp_path: Path) -> None:
    """A run goes on with as many workers as it was begun with: where the cluster has fewer cores, that is an error at once."""
    with pytest.raises(HeadstartError, match="has 2 cores, but the run was begun in 3 processes"):
        has_loop_run(cluster, tmp_path / "file", begun_with=3)
    with pytest.raises(HeadstartError, match="has no GPUs, but training needs one"):
        has_loop_run(cluster, tmp_path / "file", on_gpu=True)


def test_the_cores_of_a_worker_with_a_gpu(cluster: Any, tmp_path: Path) -> None:
    """It gets its share of the cores of its node; nodes without a GPU make no difference."""
    extra = cluster.add_node(num_cpus=2, num_gpus=1)  # which Ray takes on trust
    with connected(cluster.address):
        training = ClusterTraining(len, tmp_path, tmp_path.stat, on_gpu=True, begun_with=None, most=9)  # type: ignore[arg-type]
        workers = training.workers()
    cluster.remove_node(extra)
    assert (workers.number, workers.n_threads) == (1, 2)


def test_what_always_fails_is_given_up(cluster: Any, tmp_path: Path) -> None:
    """A failure that comes again where nothing was saved in between ends the run, and the error says what it was."""
    with pytest.raises(HeadstartError, match=r"has failed: .*has no len\(\)") as caught:
        has_loop_run(cluster, tmp_path / "file")
    assert "--resume" in caught.value.hint


def test_two_clusters_of_its_own(cluster: Any) -> None:
    """A process that has started a cluster and ended it can start another, as a scan does and then fine-tuning, or join one."""
    for _ in range(2):
        with connected("") as of_own:
            assert of_own
    with connected(cluster.address) as of_own:
        assert not of_own


def test_what_cannot_be_combined(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """Ray Train starts the processes, so torchrun cannot; they have no common clock, so there is no time budget."""
    with pytest.raises(SettingsError, match="--time-budget needs a single process"):
        headstart.train(data, TrainSettings.of(strategy="finetune", workplace="ray", time_budget=60))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="--engine ray starts its processes itself"):
        headstart.train(data, TrainSettings.of(strategy="finetune", workplace="ray"))
