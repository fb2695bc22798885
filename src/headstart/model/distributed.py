"""Training in several processes, one a device, as `torchrun` starts them: who this one is, and what they share.

Every process holds the whole network and computes its share of each batch; DistributedDataParallel averages the gradients.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed

from headstart.errors import SettingsError


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run. Alone: rank 0 of 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine: the number of its device

    def share(self, batch: np.ndarray) -> np.ndarray:
        """What this process computes of a batch; never nothing, for all processes must take part in each step."""
        own = batch[self.rank :: self.size]
        return own if len(own) else batch[:1]

    def counts(self, batch: np.ndarray) -> bool:
        """Whether this process's share is its own, or only there to take part."""
        return self.rank < len(batch)

    def total(self, *values: float) -> list[float]:
        """The sums over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self._device())
        torch.distributed.all_reduce(sums)
        return [float(value) for value in sums.cpu()]

    def _device(self) -> torch.device:
        is_nccl = torch.distributed.get_backend() == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")


def current_world() -> World:
    """What torchrun's environment says. Raises SettingsError where it says half of it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    try:
        return World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, and {error} is not set", hint="start it with torchrun"
        ) from error


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """The world of this process, connected while the block runs: over NCCL where it computes on a GPU, else over Gloo."""
    world = current_world()
    if world.size == 1 or torch.distributed.is_initialized():
        yield world
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo", rank=world.rank, world_size=world.size)
    try:
        yield world
    finally:
        torch.distributed.destroy_process_group()
