"""Training in several processes, one per device, as started by `torchrun` or Ray Train.

Every process holds the whole network and computes its share of each batch; DistributedDataParallel averages the gradients.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed

from headstart.errors import SettingsError, TrainingError
from headstart.machine import n_processes

CHUNK_BYTES = 1 << 26  # of what is told at a time, so that it needs little memory besides


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
        sums = np.array(values, np.float64)
        self.add_up(sums)
        return sums.tolist()

    def add_up(self, values: np.ndarray) -> None:
        """Replaces the values by their sums over all processes."""
        if self.size > 1:
            torch.distributed.all_reduce(torch.from_numpy(values))

    def told_by_first(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """What the process of rank 0 gives, in every process; what the others give is ignored."""
        if self.size == 1:
            return parts
        sizes = [len(part) for part in parts]
        (n,) = self._first_says(np.array([len(sizes)], np.int64))
        sizes = self._first_says(np.array(sizes if self.rank == 0 else [0] * n, np.int64)).tolist()
        told = []
        for index, size in enumerate(sizes):
            content = np.frombuffer(bytearray(parts[index] if self.rank == 0 else size), np.uint8)
            for begin in range(0, size, CHUNK_BYTES):
                self._first_says(content[begin : begin + CHUNK_BYTES])
            told.append(content.tobytes())
        return told

    def _first_says(self, values: np.ndarray) -> np.ndarray:
        """Fills `values` with those of rank 0, in place; all processes give as many."""
        torch.distributed.broadcast(torch.from_numpy(values), src=0)
        return values


ALONE = World()


def current_world() -> World:
    """The world described by torchrun's environment variables. Raises SettingsError if they are incomplete."""
    if n_processes() == 1:
        return ALONE
    try:
        return World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {error} is not set", hint="start it with torchrun"
        ) from error


def backends() -> str:
    """What processes connect over: Gloo for what is in memory, and NCCL for what is on an NVIDIA GPU."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


@contextmanager
def joined_world() -> Iterator[World]:
    """The world of this process, connected while the block runs; a connection that is there is used.

    Raises TrainingError where another process of it has ended in the meantime.
    """
    world = current_world()
    if world.size == 1 or torch.distributed.is_initialized():
        yield world
        return
    torch.distributed.init_process_group(backends(), rank=world.rank, world_size=world.size)
    try:
        yield world
    except RuntimeError as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):  # Gloo has no class for it
            raise
        raise TrainingError(
            "another process of the run has ended",
            hint="its own message says why; with a finished epoch, --resume RUN goes on with as many processes",
        ) from error
    finally:
        torch.distributed.destroy_process_group()
