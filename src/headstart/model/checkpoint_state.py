"""`state.json` of a checkpoint: the plan, the processes and the epochs of a training run that was begun; no torch."""

import json
from pathlib import Path
from typing import Any

from headstart.errors import TrainingError
from headstart.model.history import Epoch
from headstart.recipes import FLAT_KEYS, TrainingPlan, grouped

STATE = "state.json"
RUN = "run"  # among the folders with checkpoints, that of the run itself: others are of trials and refits
PROCESSES = "processes"  # its key in the signature
RETIRED = {"small_size", "small_epochs"}  # keys in plans of earlier versions; they had no effect
ADDED = {"head_on": "all features", PROCESSES: 1}  # keys that earlier versions lack, and what these did


def plan_begun(folder: Path) -> TrainingPlan | None:
    """The plan of the training that was begun in `folder`; None if nothing was saved yet.

    A resumed run follows it, also where a later version would plan otherwise. Raises TrainingError.
    """
    signature = _signature_in(folder)
    if signature is None:
        return None
    try:
        return TrainingPlan.model_validate(grouped({key: signature[key] for key in FLAT_KEYS}))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error


def processes_begun(folder: Path) -> int | None:
    """In how many processes the training in `folder` was begun; None if nothing was saved yet. Raises TrainingError."""
    signature = _signature_in(folder)
    if signature is None:
        return None
    n_processes = signature[PROCESSES]
    if not isinstance(n_processes, int) or n_processes < 1:
        raise damaged(folder, ValueError(f"{n_processes!r} is no number of processes"))
    return n_processes


def check_processes(folder: Path, now: int) -> None:
    """Raises TrainingError if training in `folder` was begun in another number of processes than it would be continued in."""
    then = processes_begun(folder)
    if then is None or then == now:
        return
    one = "start it without torchrun"
    several = f"torchrun --nproc-per-node {then} -m headstart train --resume RUN, or --engine ray where it was begun with that"
    raise TrainingError(
        f"the run was begun in {then} process{'es' * (then > 1)} and can only be resumed in as many, not in {now}",
        hint=several if then > 1 else one,
    )


def saved_state(folder: Path) -> bytes | None:
    """The content of state.json, which is another one after each epoch; None if nothing was saved yet."""
    return (folder / STATE).read_bytes() if (folder / STATE).is_file() else None


def epochs_saved(folder: Path) -> tuple[Epoch, ...]:
    """The epochs that the training in `folder` has finished; none if nothing was saved yet. Raises TrainingError."""
    content = saved_state(folder)
    try:
        return tuple(Epoch.from_json(row) for row in json.loads(content)["history"]) if content else ()
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error


def upgraded(signature: dict[str, Any]) -> dict[str, Any]:
    """A signature of any version as this one writes it."""
    return ADDED | {key: value for key, value in signature.items() if key not in RETIRED}


def damaged(folder: Path, error: Exception) -> TrainingError:
    """The error for a checkpoint that cannot be read."""
    return TrainingError(f"the checkpoint in {folder} is damaged: {error}", hint="start a new run")


def _signature_in(folder: Path) -> dict[str, Any] | None:
    try:
        return upgraded(json.loads((folder / STATE).read_text(encoding="utf-8"))["signature"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, error) from error
