"""What a job wants of its workers, wherever they are."""

import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow

from headstart.errors import HeadstartError
from headstart.jobs.parts import Parts
from headstart.jobs.shards import Shard
from headstart.model.features import Work

Compute = Callable[[tuple[Any, ...]], tuple[pyarrow.Table, Work]]  # of the items of a shard: a row for each, in their order


class Task(Protocol):
    """What is computed of items, such as images; sent to the workers, so it can be pickled."""

    @property
    def key(self) -> str:
        """A digest of everything that changes the result, besides the items."""
        ...

    @property
    def on_gpu(self) -> bool:
        """Whether a worker needs a GPU."""
        ...

    def open(self, n_threads: int) -> Compute:
        """What computes, in the worker: a network that is loaded once."""
        ...

    def packed(self) -> tuple["Task", Mapping[str, bytes]]:
        """The task as it is on another machine, and the files of home() that it needs there."""
        ...

    def given_up(self, reason: str) -> pyarrow.Table:
        """The row of an item that cannot be computed, and why. Raises HeadstartError if none may be missing."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a shard in a worker."""

    came: Work | HeadstartError | str  # str: the traceback of a fault of ours
    warned: tuple[str, ...] = ()  # of what the worker has warned meanwhile, each text once


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard whose part is written."""

    shard: Shard[Any]
    work: Work
    warned: tuple[str, ...] = ()

    @classmethod
    def of(cls, shard: Shard[Any], answer: Outcome) -> "Finished":
        """What a worker's answer means. Raises HeadstartError."""
        if isinstance(answer.came, HeadstartError):
            raise answer.came
        if isinstance(answer.came, str):
            raise HeadstartError(f"a worker has failed:\n{answer.came}", hint="please report this")
        return cls(shard, answer.came, answer.warned)


@dataclass(frozen=True, slots=True)
class Ended:
    """A shard whose worker has ended before it was finished."""

    shard: Shard[Any]
    reason: str


class Crew(Protocol):
    """Workers that compute shards and write their parts."""

    @property
    def n_workers(self) -> int:
        """How many shards are computed at a time."""
        ...

    def has_room(self) -> bool:
        """Whether a worker waits for a shard."""
        ...

    def give(self, shard: Shard[Any]) -> None:
        """Has a worker compute a shard; only if there is room."""
        ...

    def wait(self) -> list[Finished | Ended]:
        """What came of some shards since the last call; waits until there is something, or room. Raises HeadstartError."""
        ...


@dataclass(slots=True)
class Worker:
    """A worker in its own process: opens the task when the first shard comes."""

    task: Task
    parts: Parts
    n_threads: int
    _compute: Compute | None = None

    def answer(self, shard: Shard[Any]) -> Outcome:
        """How much work it was to compute a shard and to write its part, or what went wrong; and what it warned of."""
        with warnings.catch_warnings(record=True) as caught:
            came = self._came(shard)
        return Outcome(came, tuple(dict.fromkeys(str(one.message) for one in caught)))

    def _came(self, shard: Shard[Any]) -> Work | HeadstartError | str:
        try:
            return self._work(shard)
        except HeadstartError as error:
            return error
        except Exception:  # told by the process that gave the shard
            return traceback.format_exc()

    def _work(self, shard: Shard[Any]) -> Work:
        if self._compute is None:
            self._compute = self.task.open(self.n_threads)
        table, work = self._compute(shard.items)
        self.parts.write(shard.digest, table)
        return work
