"""Workers in processes of this machine."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from headstart.child_processes import live_with_parent
from headstart.jobs.crew import Ended, Finished, Outcome, Task, Worker
from headstart.jobs.parts import Parts
from headstart.jobs.shards import Shard
from headstart.threads import cores

END_SECONDS = 5.0  # that a worker has to end


@dataclass(slots=True)
class _Process:
    """A worker and what it is busy with."""

    process: SpawnProcess
    pipe: Connection
    shard: Shard[Any] | None = None


@dataclass(slots=True)
class ProcessCrew:
    """Processes that are started anew when they end."""

    task: Task
    parts: Parts
    n_workers: int
    _processes: list[_Process] = field(default_factory=list)

    def has_room(self) -> bool:
        """Whether a worker waits for a shard."""
        return len(self._processes) < self.n_workers or any(one.shard is None for one in self._processes)

    def give(self, shard: Shard[Any]) -> None:
        """Has a worker compute a shard; only if there is room."""
        idle = next((one for one in self._processes if one.shard is None), None) or self._started()
        idle.shard = shard
        try:
            idle.pipe.send(shard)
        except OSError:  # it has just ended: `wait` will say so
            return

    def wait(self) -> list[Finished | Ended]:
        """What came of some shards; waits until there is something. Raises HeadstartError."""
        found: list[Finished | Ended] = []
        ready = set(wait([one.pipe for one in self._processes if one.shard is not None]))
        for one in [one for one in self._processes if one.pipe in ready]:
            assert one.shard is not None
            try:
                answer: Outcome = one.pipe.recv()
            except (EOFError, OSError):  # it ended, and with it the other end of the pipe
                found.append(Ended(one.shard, self._why_ended(one)))
                continue
            shard, one.shard = one.shard, None
            found.append(Finished.of(shard, answer))
        return found

    def stop(self) -> None:
        """Ends all workers; what they compute is given up."""
        for one in self._processes:
            one.pipe.close()
            one.process.terminate()
        for one in self._processes:
            one.process.join(END_SECONDS)
            if one.process.is_alive():
                one.process.kill()
                one.process.join()

    def _started(self) -> _Process:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        n_threads = max(1, cores() // self.n_workers)
        process = context.Process(
            target=_work, args=(theirs, Worker(self.task, self.parts, n_threads)), name="headstart-worker", daemon=True
        )
        process.start()
        theirs.close()
        started = _Process(process, ours)
        self._processes.append(started)
        return started

    def _why_ended(self, one: _Process) -> str:
        self._processes.remove(one)
        one.pipe.close()
        one.process.join(END_SECONDS)
        code = one.process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def process_crew(task: Task, parts: Parts, n_workers: int) -> Iterator[ProcessCrew]:
    """So many processes; they end with the block, and when this process is killed."""
    crew = ProcessCrew(task, parts, n_workers)
    try:
        yield crew
    finally:
        crew.stop()


def _work(pipe: Connection, worker: Worker) -> None:
    """Computes the shards that come through the pipe, until it is closed."""
    live_with_parent()
    while True:
        try:
            shard: Shard[Any] = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(worker.answer(shard))
