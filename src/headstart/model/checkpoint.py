"""The training state after an epoch, as safetensors and JSON: a killed run resumes with bit-identical results.

`state.json` names the other files and is written last, so it never refers to a file that a killed process left half-written.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from headstart.errors import TrainingError
from headstart.model.checkpoint_state import STATE, damaged, upgraded
from headstart.model.distributed import ALONE, World
from headstart.model.history import Cut, Epoch
from headstart.storage import atomic_write, write_json


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a training loop needs to continue after `history[-1]`."""

    history: tuple[Epoch, ...]
    best_epoch: int
    best_state: dict[str, torch.Tensor]
    best_probabilities: torch.Tensor  # (n_val, n_classes) float64, of the best epoch
    predicted: torch.Tensor  # (n_epochs, n_val) int64: each epoch's predictions for val
    cut: Cut | None = None  # set if the time was over: training does not continue

    @property
    def best(self) -> Epoch:
        """The history row of the best epoch."""
        return next(row for row in self.history if row.epoch == self.best_epoch)


def save_checkpoint(
    folder: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    checkpoint: Checkpoint,
    *,
    signature: dict[str, Any],
) -> None:
    """Writes the state after an epoch, then removes the files of the previous epoch.

    `signature` holds everything that must be unchanged for a bit-identical resume.
    """
    epoch = checkpoint.history[-1].epoch
    files = {"last": f"epoch-{epoch}.safetensors", "best": f"best-{checkpoint.best_epoch}.safetensors"}
    state = optimizer.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in module.state_dict().items()}
    numbers: dict[str, dict[str, float]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    _write_tensors(folder / files["last"], tensors | {"predicted": checkpoint.predicted})
    if not (folder / files["best"]).exists():
        best = {f"network.{name}": tensor for name, tensor in checkpoint.best_state.items()}
        _write_tensors(folder / files["best"], best | {"probabilities": checkpoint.best_probabilities})
    write_json(
        folder / STATE,
        {
            "format": 1,
            "signature": signature,
            "files": files,
            "history": [row.as_json() for row in checkpoint.history],
            "best_epoch": checkpoint.best_epoch,
            "cut": checkpoint.cut.as_json() if checkpoint.cut else None,
            "optimizer": {"param_groups": state["param_groups"], "numbers": numbers},
            "scheduler": scheduler.state_dict(),
            "scaler": scaler.state_dict(),
        },
    )
    for old in folder.glob("*.safetensors"):
        if old.name not in files.values():
            old.unlink()


def load_checkpoint(
    folder: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    *,
    signature: dict[str, Any],
    world: World = ALONE,
) -> Checkpoint | None:
    """Restores network, optimizer, scheduler and scaler from `folder`; returns None if nothing was saved yet.

    Of several processes only the first reads its folder, and tells the others what is in it. Raises TrainingError if the files
    are damaged or were written by a run with a different signature.
    """
    files = world.told_by_first(_files_in(folder) if world.rank == 0 else ())
    if not files:
        return None
    try:
        saved = json.loads(files[0])
        _check_signature(saved["signature"], signature)
        last, best = safetensors.torch.load(files[1]), safetensors.torch.load(files[2])
        module.load_state_dict(_below("network.", last))
        optimizer.load_state_dict(_optimizer_state(saved["optimizer"], _below("optimizer.", last), optimizer))
        scheduler.load_state_dict(saved["scheduler"])
        scaler.load_state_dict(saved["scaler"])
        return _checkpoint_of(saved, last, best)
    except (ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise damaged(folder, error) from error


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """What is saved in `folder`, whatever trained it; None if nothing was saved yet. Raises TrainingError."""
    files = _files_in(folder)
    if not files:
        return None
    try:
        return _checkpoint_of(json.loads(files[0]), safetensors.torch.load(files[1]), safetensors.torch.load(files[2]))
    except (ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise damaged(folder, error) from error


def _files_in(folder: Path) -> tuple[bytes, ...]:
    """state.json and the files with the last and the best state; () if nothing was saved yet. Raises TrainingError."""
    try:
        state = (folder / STATE).read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise damaged(folder, error) from error
    try:
        names = json.loads(state)["files"]
        return (state, (folder / names["last"]).read_bytes(), (folder / names["best"]).read_bytes())
    except FileNotFoundError as error:
        if (folder / STATE).read_bytes() != state:  # a process that is just ending has saved another epoch
            return _files_in(folder)
        raise damaged(folder, error) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error


def _check_signature(then: dict[str, Any], now: dict[str, Any]) -> None:
    then, now = upgraded(then), upgraded(json.loads(json.dumps(now)))  # tuples become lists, as in the file
    changed = sorted(key for key in now | then if then.get(key) != now.get(key))
    if changed:
        raise TrainingError(
            f"the run cannot be resumed: changed since it started: {', '.join(changed)}",
            hint="resume it on the same machine with the same versions, or start a new run",
        )


def _checkpoint_of(saved: dict[str, Any], last: dict[str, torch.Tensor], best: dict[str, torch.Tensor]) -> Checkpoint:
    return Checkpoint(
        history=tuple(Epoch.from_json(row) for row in saved["history"]),
        best_epoch=saved["best_epoch"],
        best_state=_below("network.", best),
        best_probabilities=best["probabilities"],
        predicted=last["predicted"],
        cut=Cut.from_json(saved["cut"]) if saved.get("cut") else None,
    )


def _optimizer_state(
    saved: dict[str, Any], tensors: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in saved["numbers"].items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # Moments need the memory layout of their parameter: vectorised loops may round differently in another layout.
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    groups = [dict(group, **_tuples(group)) for group in saved["param_groups"]]
    return {"state": state, "param_groups": groups}


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """The lists of a parameter group as tuples: JSON has no tuples, but Adam's betas are one."""
    return {key: tuple(value) for key, value in group.items() if isinstance(value, list) and key != "params"}


def _write_tensors(file: Path, tensors: dict[str, torch.Tensor]) -> None:
    with atomic_write(file) as aside:
        safetensors.torch.save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, aside)


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
