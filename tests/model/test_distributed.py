"""Two processes with half of each batch train the network that one process trains with the whole."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from conftest import COLOURS, SIGNALS_ITSELF, TINY

import headstart
from headstart.errors import SettingsError, TrainingError
from headstart.model.distributed import World, current_world
from headstart.storage import sha256_of_file

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from headstart.model.backbones import pretrained_network
from headstart.model.specs import find_backbone
from headstart.model.distributed import current_world
from headstart.model.finetune import HeldOutImages, TrainingImages, fine_tune
from headstart.model.weights import WeightsFile
from headstart.recipes import RunFacts, plan_for
from headstart.settings import TrainSettings

weights, target = sys.argv[1:]

def new_network():
    network = pretrained_network(find_backbone("timm/test_resnet"), WeightsFile(Path(weights), "0" * 64, "test"))
    network.preprocess = network.preprocess.at_size(64)
    network.set_random_head(3, seed=0)
    return network

network = new_network()
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (21, 72, 72, 3), dtype=np.uint8)  # batches of 4, the last of one image
labels = np.arange(21) % 3
settings = TrainSettings(strategy="finetune", epochs=2, batch_size=4, learning_rate=1e-4, image_size=64, freeze=0)
plan = plan_for(settings, RunFacts(21, 3, 64, "cpu", False, 2))
tuned = fine_tune(network, TrainingImages(pixels, labels), HeldOutImages(pixels[:6, None, :64, :64], labels[:6]), plan)
if current_world().rank == 0:
    network.save(Path(target))
    print(json.dumps([row.as_json() for row in tuned.history]))
"""


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]  # which finds a free port itself


def train(n_processes: int, weights: Path, folder: Path) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    """The trained tensors and the history of a run in so many processes."""
    (folder / "train.py").write_text(SCRIPT)
    target = folder / f"{n_processes}.safetensors"
    command = [sys.executable, *(TORCHRUN if n_processes == 2 else []), str(folder / "train.py"), str(weights), str(target)]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stderr
    return safetensors.numpy.load_file(target), json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny_weights: Path, tmp_path: Path) -> None:
    """With the same global batch the weights agree within 1e-4, and so does what the history tells."""
    one, history = train(1, tiny_weights, tmp_path)
    two, other = train(2, tiny_weights, tmp_path)
    start = safetensors.numpy.load_file(tiny_weights)
    assert max(np.abs(one[name] - start[name]).max() for name in start if "conv" in name) > 1e-4  # it did train
    assert set(one) == set(two)
    assert max(np.abs(one[name] - two[name]).max() for name in one) < 1e-4
    for row, other_row in zip(history, other, strict=True):
        assert row["train_loss"] == pytest.approx(other_row["train_loss"], abs=1e-3)
        assert row["train_accuracy"] == pytest.approx(other_row["train_accuracy"])
        assert row["val_accuracy"] == other_row["val_accuracy"]


INTERRUPTED = """
from headstart.model.distributed import joined_world

def second_epoch(stage, done, total):
    if stage.startswith("epoch 2"):
        raise InterruptedError

def trained(folder, progress=lambda *step: None):
    own, val = new_network(), HeldOutImages(pixels[:6, None, :64, :64], labels[:6])
    tuned = fine_tune(own, TrainingImages(pixels, labels), val, plan, checkpoints=folder, progress=progress)
    return own.state(), [row.as_json() | {"seconds": 0} for row in tuned.history]

with joined_world() as world:
    whole, interrupted = (Path(f"{target}-{name}-{world.rank}") for name in ("whole", "interrupted"))
    expected, history = trained(whole)
    try:
        trained(interrupted, second_epoch)
    except InterruptedError:
        resumed, resumed_history = trained(interrupted)
    same = history == resumed_history and all(bool((resumed[name] == expected[name]).all()) for name in expected)
    Path(f"{target}-{world.rank}.json").write_text(json.dumps([same, interrupted.exists()]))
"""


@pytest.mark.slow
def test_three_processes_resume_where_they_were(tiny_weights: Path, tmp_path: Path) -> None:
    """Interrupted in the second epoch and resumed, they have the same bits as otherwise; only the first keeps checkpoints.

    With more than two processes it makes a difference in which order gradients are added up.
    """
    begin = SCRIPT.split("tuned =")[0]
    (tmp_path / "train.py").write_text(begin + INTERRUPTED)
    command = [sys.executable, *TORCHRUN[:-1], "3", str(tmp_path / "train.py"), str(tiny_weights), str(tmp_path / "found")]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert ran.returncode == 0, ran.stderr
    found = [json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(3)]
    assert found == [[True, True], [True, False], [True, False]]


@pytest.mark.slow
def test_the_command_under_torchrun(
    draw_classes: Callable[..., Path], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torchrun -m headstart train` leaves one run and prints one JSON object. A run that was killed is resumed by as many
    processes, of which only the first needs to see its folder, and has the weights of one that was not.
    """
    monkeypatch.setitem(COLOURS, "squares", COLOURS["circles"])  # so that there is something to train
    data = draw_classes({"circles": 12, "squares": 12}, seed=4)
    options = ["--strategy", "finetune", "--epochs", "3", "--backbone", TINY, "--weights", str(tiny_weights)]
    new = ["train", str(data), *options, "--image-size", "64", "--batch-size", "4", "--json", "--output"]
    whole, killed = tmp_path / "runs here" / "whole", tmp_path / "runs here" / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}

    def torchrun(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *TORCHRUN, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    ran = torchrun("-m", "headstart", *new, str(whole))
    assert ran.returncode == 0, ran.stderr
    metrics = json.loads(ran.stdout)
    assert metrics["run"] == whole.as_posix()
    assert metrics["best_epoch"] > 0  # trained weights are compared below
    assert [path.name for path in whole.parent.iterdir()] == ["whole"]

    (tmp_path / "killed.py").write_text(SIGNALS_ITSELF)
    second_checkpoint = ["SIGKILL", "os.rename", str(Path("killed.partial", "checkpoints", "run", "state.json")), "2"]
    assert torchrun(str(tmp_path / "killed.py"), *second_checkpoint, *new, str(killed)).returncode != 0
    assert not killed.exists()
    with pytest.raises(TrainingError, match=r"was begun in 2 processes .* not in 1") as caught:
        headstart.train(None, resume=killed)
    assert "torchrun --nproc-per-node 2" in caught.value.hint

    ran = torchrun("-m", "headstart", "train", "--resume", str(killed), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["run"] == killed.as_posix()
    assert sorted(path.name for path in whole.parent.iterdir()) == ["killed", "whole"]
    assert weights_of(killed) == weights_of(whole)


def weights_of(run: Path) -> str:
    """The digest of a run's weights."""
    return sha256_of_file(run / "model" / "weights.safetensors")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_make_up_the_batch(size: int) -> None:
    """The shares that count are the batch, each image once; where there are too few images some are only there to take part."""
    for n in (1, 2, 4, 7):
        batch = np.arange(n)
        worlds = [World(rank, size, rank) for rank in range(size)]
        counted = [world.share(batch) for world in worlds if world.counts(batch)]
        assert sorted(np.concatenate(counted).tolist()) == batch.tolist()
        assert all(len(world.share(batch)) for world in worlds)


def test_alone() -> None:
    """Without torchrun there is one process, and sums are its own."""
    assert asdict(current_world()) == {"rank": 0, "size": 1, "local_rank": 0}
    assert World().total(1.5, 2) == [1.5, 2]
    assert World().told_by_first((b"a", b"")) == (b"a", b"")


def test_half_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WORLD_SIZE without the rest is an error that names torchrun."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SettingsError, match="RANK") as caught:
        current_world()
    assert "torchrun" in caught.value.hint
