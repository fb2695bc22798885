"""Training in several processes, one per device, as started by `torchrun`.

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
    """This process among the processes of a run; rank 0 of 1 if it is alone."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine: the index of its device

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This process's share of a batch; never empty, because all processes must take part in each step."""
        own = batch[self.rank :: self.size]
        return own if len(own) else batch[:1]

    def counts(self, batch: np.ndarray) -> bool:
        """Whether this process's share counts, or is only there so that it takes part."""
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
    """The world described by torchrun's environment variables. Raises SettingsError if they are incomplete."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    try:
        return World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {error} is not set", hint="start it with torchrun"
        ) from error


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """The world of this process, connected while the block runs: over NCCL on a GPU, otherwise over Gloo."""
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
