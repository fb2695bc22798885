"""The state after an epoch: what comes back is what was saved, and what does not fit is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import TrainingError
from headstart.model.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint
from headstart.model.checkpoint_state import check_processes, processes_begun, saved_state
from headstart.model.history import Epoch

SIGNATURE = {"seed": 0, "crop_scale": (0.35, 1.0), "threads": 2}


class Training:
    """A small network in training, with everything a checkpoint holds."""

    def __init__(self, optimizer: str = "adamw", seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten())
        self.module.to(memory_format=torch.channels_last)
        parameters = [
            {"params": [p for p in self.module.parameters() if p.ndim > 1], "lr": 0.1},
            {"params": [p for p in self.module.parameters() if p.ndim == 1], "lr": 0.2},
        ]
        kinds: dict[str, Any] = {
            "adamw": lambda: torch.optim.AdamW(parameters),
            "sgd": lambda: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        }
        self.optimizer = kinds[optimizer]()
        rise = torch.optim.lr_scheduler.LinearLR(self.optimizer, total_iters=2)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=10)
        self.scheduler = torch.optim.lr_scheduler.SequentialLR(self.optimizer, [rise, fall], milestones=[2])
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)

    def step(self, number: int) -> None:
        pixels = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        self.optimizer.zero_grad()
        self.module(pixels.to(memory_format=torch.channels_last)).square().sum().backward()
        self.optimizer.step()
        self.scheduler.step()

    def state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.module.state_dict().items()}

    def save(self, folder: Path, checkpoint: Checkpoint, signature: dict[str, Any] = SIGNATURE) -> None:
        parts = (self.module, self.optimizer, self.scheduler, self.scaler)
        save_checkpoint(folder, *parts, checkpoint, signature=signature)

    def load(self, folder: Path, signature: dict[str, Any] = SIGNATURE) -> Checkpoint | None:
        return load_checkpoint(folder, self.module, self.optimizer, self.scheduler, self.scaler, signature=signature)


def row(epoch: int) -> Epoch:
    return Epoch(
        epoch=epoch, lr=0.1 / 3, train_loss=1 / 3, train_accuracy=0.5, val_loss=1 / 7, val_accuracy=2 / 3, seconds=1.25
    )


def after(epochs: int, training: Training, best: int) -> Checkpoint:
    probabilities = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(best))
    return Checkpoint(
        tuple(row(e) for e in range(1, epochs + 1)),
        best,
        training.state(),
        probabilities,
        probabilities.argmax(dim=1)[None].repeat(epochs, 1),
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_going_on_is_bit_identical(optimizer: str, tmp_path: Path) -> None:
    """After loading into a new process's objects, further steps give the same bits as without the interruption."""
    whole = Training(optimizer)
    for number in range(3):
        whole.step(number)
    whole.save(tmp_path, after(1, whole, 1))
    for number in range(3, 8):
        whole.step(number)
    resumed = Training(optimizer, seed=9)
    assert resumed.load(tmp_path) is not None
    for number in range(3, 8):
        resumed.step(number)
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in whole.state().items())
    assert [g["lr"] for g in resumed.optimizer.param_groups] == [g["lr"] for g in whole.optimizer.param_groups]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """History, best epoch, its weights and its probabilities come back exactly."""
    training = Training()
    training.step(0)
    saved = after(3, training, best=2)
    training.save(tmp_path, saved)
    found = Training(seed=5).load(tmp_path)
    assert found is not None
    assert (found.history, found.best_epoch, found.best) == (saved.history, 2, row(2))
    assert torch.equal(found.best_probabilities, saved.best_probabilities)
    assert found.best_probabilities.dtype == torch.float64
    assert all(torch.equal(found.best_state[name], tensor) for name, tensor in saved.best_state.items())


def test_nothing_saved_yet(tmp_path: Path) -> None:
    """Where no epoch was finished there is nothing to load, and nothing is touched."""
    training = Training()
    before = training.state()
    assert training.load(tmp_path / "none") is None
    assert all(torch.equal(before[name], tensor) for name, tensor in training.state().items())


def test_only_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    """After each epoch the folder holds that epoch, the best one and the state; the files are tensors and JSON, no pickle."""
    training = Training()
    best = {1: 1, 2: 2, 3: 2, 4: 2}
    for epoch in range(1, 5):
        training.step(epoch)
        training.save(tmp_path, after(epoch, training, best[epoch]))
        names = {file.name for file in tmp_path.iterdir()}
        assert names == {"state.json", f"epoch-{epoch}.safetensors", f"best-{best[epoch]}.safetensors"}


def test_best_stays_what_it_was(tmp_path: Path) -> None:
    """Later epochs do not change the weights that were kept as the best."""
    training = Training()
    training.step(0)
    first = after(1, training, best=1)
    training.save(tmp_path, first)
    for number in range(1, 4):
        training.step(number)
    training.save(
        tmp_path, Checkpoint((row(1), row(2)), 1, first.best_state, first.best_probabilities, first.predicted.repeat(2, 1))
    )
    found = Training().load(tmp_path)
    assert found is not None
    assert all(torch.equal(found.best_state[name], tensor) for name, tensor in first.best_state.items())


@pytest.mark.parametrize(
    ("signature", "named"),
    [
        (SIGNATURE | {"seed": 1}, "changed since it started: seed"),
        (SIGNATURE | {"threads": 1, "seed": 1}, "changed since it started: seed, threads"),
        (SIGNATURE | {"torch": "3"}, "changed since it started: torch"),
        ({"seed": 0, "threads": 2}, "changed since it started: crop_scale"),
    ],
)
def test_another_run_is_refused(signature: dict[str, Any], named: str, tmp_path: Path) -> None:
    """A checkpoint of a run with other numbers, machine or versions is refused with what differs."""
    training = Training()
    training.step(0)
    training.save(tmp_path, after(1, training, 1))
    with pytest.raises(TrainingError, match=named) as caught:
        training.load(tmp_path, signature)
    assert caught.value.hint == "resume it on the same machine with the same versions, or start a new run"


@pytest.mark.parametrize("damage", ["state cut off", "tensors cut off", "tensors gone", "no history", "other network"])
def test_damage_is_told(damage: str, tmp_path: Path) -> None:
    """A damaged checkpoint is an error with the folder's name, never a run that goes on from something else."""
    training = Training()
    training.step(0)
    training.save(tmp_path, after(1, training, 1))
    state, tensors = tmp_path / "state.json", tmp_path / "epoch-1.safetensors"
    if damage == "state cut off":
        state.write_text(state.read_text()[:100])
    elif damage == "tensors cut off":
        tensors.write_bytes(tensors.read_bytes()[:200])
    elif damage == "tensors gone":
        tensors.unlink()
    elif damage == "no history":
        state.write_text(json.dumps({k: v for k, v in json.loads(state.read_text()).items() if k != "history"}))
    else:
        training.module[0] = torch.nn.Conv2d(3, 9, 3)
    with pytest.raises(TrainingError, match=f"the checkpoint in {tmp_path} is damaged: ") as caught:
        training.load(tmp_path)
    assert caught.value.hint == "start a new run"


def test_half_written_files_are_never_named(tmp_path: Path) -> None:
    """A process killed between the tensors and the state leaves the epoch before to go on from."""
    training = Training()
    training.step(0)
    training.save(tmp_path, after(1, training, 1))
    kept = (tmp_path / "state.json").read_text()
    first = (tmp_path / "epoch-1.safetensors").read_bytes()
    training.step(1)
    training.save(tmp_path, after(2, training, 1))
    (tmp_path / "state.json").write_text(kept)  # as if the process had died before it was replaced
    (tmp_path / "epoch-1.safetensors").write_bytes(first)
    found = Training().load(tmp_path)
    assert found is not None
    assert len(found.history) == 1


def test_as_many_processes_as_it_was_begun_with(tmp_path: Path) -> None:
    """Training is continued in as many processes as it was begun in; the hint says how these are started."""
    check_processes(tmp_path, 3)  # nothing was saved yet
    assert processes_begun(tmp_path) is None and saved_state(tmp_path) is None and read_checkpoint(tmp_path) is None
    training = Training()
    checkpoint = Checkpoint((row(1),), 1, training.state(), torch.zeros(0, 3, dtype=torch.float64), torch.zeros(1, 0))
    training.save(tmp_path, checkpoint)  # as earlier versions did, which knew one process
    check_processes(tmp_path, 1)
    with pytest.raises(TrainingError, match="begun in 1 process and can only be resumed in as many, not in 2") as caught:
        check_processes(tmp_path, 2)
    assert "without torchrun" in caught.value.hint
    training.save(tmp_path, checkpoint, SIGNATURE | {"processes": 2})
    assert processes_begun(tmp_path) == 2
    with pytest.raises(TrainingError, match=r"begun in 2 processes .* not in 3") as caught:
        check_processes(tmp_path, 3)
    assert "torchrun --nproc-per-node 2" in caught.value.hint
    for wrong in ("two", 0, None):
        training.save(tmp_path, checkpoint, SIGNATURE | {"processes": wrong})
        with pytest.raises(TrainingError, match="is damaged"):
            check_processes(tmp_path, 1)


def test_what_is_saved_can_be_read_without_the_training(tmp_path: Path) -> None:
    """A process that trains nothing reads what others have saved."""
    training = Training()
    checkpoint = Checkpoint((row(1), row(2)), 2, training.state(), torch.ones(1, 3, dtype=torch.float64), torch.ones(2, 1))
    training.save(tmp_path, checkpoint)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found.history, found.best_epoch, found.cut) == (checkpoint.history, 2, None)
    assert all(torch.equal(found.best_state[name], tensor) for name, tensor in checkpoint.best_state.items())
    (tmp_path / "best-2.safetensors").unlink()
    with pytest.raises(TrainingError, match="is damaged"):
        read_checkpoint(tmp_path)
