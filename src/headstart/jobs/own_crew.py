"""This process as the only worker of a job: it computes a shard when it waits for one."""

from dataclasses import dataclass, field
from typing import Any

from headstart.jobs.crew import Ended, Finished, Task, Worker
from headstart.jobs.parts import Parts
from headstart.jobs.shards import Shard


@dataclass(slots=True)
class OwnCrew:
    """One worker with its threads."""

    task: Task
    parts: Parts
    n_threads: int
    n_workers: int = 1
    _worker: Worker = field(init=False)
    _waiting: Shard[Any] | None = None

    def __post_init__(self) -> None:
        self._worker = Worker(self.task, self.parts, self.n_threads)

    def has_room(self) -> bool:
        """Whether no shard waits."""
        return self._waiting is None

    def give(self, shard: Shard[Any]) -> None:
        """Has a shard computed by the next `wait`."""
        self._waiting = shard

    def wait(self) -> list[Finished | Ended]:
        """Computes the shard that waits. Raises HeadstartError."""
        shard, self._waiting = self._waiting, None
        return [] if shard is None else [Finished.of(shard, self._worker.answer(shard))]
