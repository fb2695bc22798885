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
from headstart.model.history import Cut, Epoch
from headstart.recipes import FLAT_KEYS, TrainingPlan, grouped
from headstart.storage import atomic_write, write_json

RETIRED = {"small_size", "small_epochs"}  # keys in plans of earlier versions; they had no effect
ADDED = {"head_on": "all features"}  # keys that plans of earlier versions lack, and what these did


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
        folder / "state.json",
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
) -> Checkpoint | None:
    """Restores network, optimizer, scheduler and scaler from `folder`; returns None if nothing was saved yet.

    Raises TrainingError if the files are damaged or were written by a run with a different signature.
    """
    place = folder / "state.json"
    if not place.exists():
        return None
    try:
        saved = json.loads(place.read_text(encoding="utf-8"))
        then = _upgraded(saved["signature"])
        now = _upgraded(json.loads(json.dumps(signature)))  # tuples become lists, as in the file
        if then != now:
            changed = sorted(key for key in now | then if then.get(key) != now.get(key))
            raise TrainingError(
                f"the run cannot be resumed: changed since it started: {', '.join(changed)}",
                hint="resume it on the same machine with the same versions, or start a new run",
            )
        last = safetensors.torch.load_file(folder / saved["files"]["last"])
        best = safetensors.torch.load_file(folder / saved["files"]["best"])
        module.load_state_dict(_below("network.", last))
        optimizer.load_state_dict(_optimizer_state(saved["optimizer"], _below("optimizer.", last), optimizer))
        scheduler.load_state_dict(saved["scheduler"])
        scaler.load_state_dict(saved["scaler"])
        return Checkpoint(
            history=tuple(Epoch.from_json(row) for row in saved["history"]),
            best_epoch=saved["best_epoch"],
            best_state=_below("network.", best),
            best_probabilities=best["probabilities"],
            predicted=last["predicted"],
            cut=Cut.from_json(saved["cut"]) if saved.get("cut") else None,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise _damaged(folder, error) from error


def plan_begun(folder: Path) -> TrainingPlan | None:
    """The plan of the training that was begun in `folder`; None if nothing was saved yet.

    A resumed run follows it, also where a later version would plan otherwise. Raises TrainingError.
    """
    place = folder / "state.json"
    if not place.exists():
        return None
    try:
        signature = _upgraded(json.loads(place.read_text(encoding="utf-8"))["signature"])
        return TrainingPlan.model_validate(grouped({key: signature[key] for key in FLAT_KEYS}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _upgraded(signature: dict[str, Any]) -> dict[str, Any]:
    """A signature of any version as this one writes it."""
    return ADDED | {key: value for key, value in signature.items() if key not in RETIRED}


def _damaged(folder: Path, error: Exception) -> TrainingError:
    return TrainingError(f"the checkpoint in {folder} is damaged: {error}", hint="start a new run")


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
