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
from conftest import TINY

import headstart
from headstart.errors import SettingsError
from headstart.model.distributed import World, current_world

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
network = pretrained_network(find_backbone("timm/test_resnet"), WeightsFile(Path(weights), "0" * 64, "test"))
network.preprocess = network.preprocess.at_size(64)
network.set_random_head(3, seed=0)
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


@pytest.mark.slow
def test_the_command_under_torchrun(
    tiny_weights: Path, draw_classes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torchrun -m headstart train` leaves one run and prints one JSON object; a resume is refused there."""
    data = draw_classes({"circles": 9, "squares": 9})
    options = ["--strategy", "finetune", "--epochs", "1", "--backbone", TINY, "--weights", str(tiny_weights), "--json"]
    run = tmp_path / "runs here" / "r"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, *TORCHRUN, "-m", "headstart", "train", str(data), *options, "--output", str(run)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["run"] == run.as_posix()
    assert [path.name for path in run.parent.iterdir()] == ["r"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SettingsError, match="can only be resumed in one process"):
        headstart.train(None, resume=run)


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


def test_half_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WORLD_SIZE without the rest is an error that names torchrun."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SettingsError, match="RANK") as caught:
        current_world()
    assert "torchrun" in caught.value.hint
