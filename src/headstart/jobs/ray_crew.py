"""Workers on the nodes of a Ray cluster."""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from headstart.errors import HeadstartError, HeadstartWarning, first_line
from headstart.jobs.crew import Ended, Finished, Outcome, Task, Worker
from headstart.jobs.luggage import unpack_luggage
from headstart.jobs.parts import Parts
from headstart.jobs.ray_cluster import connected, environment_of_workers, own_node_lives
from headstart.jobs.shards import Shard

LOOK_SECONDS = 5.0  # after which it is looked again how many cores the cluster has
ASK_SECONDS = 2.0  # after which the node of this process is asked again whether it lives
TOLD_SECONDS = 30.0  # without any worker, after which this is told
MOST_STILLBORN = 5  # actors in a row that end before they are ready
SAME = "install the same version of headstart on every node: pip install 'headstart[cluster,train]'"
LOST = "start it, and then the same command again: what is finished is kept"


class _Member:
    """A worker as an actor: it has one core of a node, or a GPU."""

    def __init__(self, worker: Worker, luggage: Mapping[str, bytes]) -> None:
        unpack_luggage(luggage)
        self._worker = worker

    def is_ready(self) -> bool:
        return True

    def work(self, shard: Shard[Any]) -> Outcome:
        return self._worker.answer(shard)


@dataclass(slots=True)
class _Actor:
    """A member, and the answer that is waited for: that it is ready, or what came of its shard."""

    handle: Any
    answer: Any  # a reference; None if nothing is waited for
    shard: Shard[Any] | None = None
    is_ready: bool = False


@dataclass(slots=True)
class RayCrew:
    """One actor for each core of the cluster, or each GPU; more when it grows."""

    task: Task
    parts: Parts
    of_own: bool  # whether the cluster was started for this job
    _member: Any = None  # what Ray makes of the class
    _packed: Any = None  # the worker and its luggage: they travel to each node once
    _actors: list[_Actor] = field(default_factory=list)
    _n_stillborn: int = 0  # actors that ended before they were ready, since the last that was
    _looked: float = 0.0
    _asked: float = 0.0  # when the node of this process answered
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._member = ray.remote(_Member)
        task, luggage = self.task.packed()
        self._packed = (ray.put(Worker(task, self.parts, self._threads)), ray.put(luggage))
        self._look()

    @property
    def n_workers(self) -> int:
        """How many shards are computed at a time, at least 1."""
        return max(1, len(self._actors))

    def has_room(self) -> bool:
        """Whether an actor waits for a shard."""
        return any(one.is_ready and one.shard is None for one in self._actors)

    def give(self, shard: Shard[Any]) -> None:
        """Has an actor compute a shard; only if there is room."""
        idle = next(one for one in self._actors if one.is_ready and one.shard is None)
        idle.shard, idle.answer = shard, idle.handle.work.remote(shard)

    def wait(self) -> list[Finished | Ended]:
        """What came of some shards; waits until there is something, or an actor more. Raises HeadstartError."""
        if time.monotonic() - self._asked > ASK_SECONDS:
            self._asked = time.monotonic()
            if not own_node_lives():
                raise HeadstartError("the node of the Ray cluster that this command is connected to is gone", hint=LOST)
        waiting = {one.answer: one for one in self._actors if one.answer is not None}
        try:
            if not waiting:  # a cluster that has no core at the moment
                time.sleep(LOOK_SECONDS)
            ready = ray.wait(list(waiting), timeout=LOOK_SECONDS)[0] if waiting else []
            found = [came for ref in ready if (came := self._note(waiting[ref])) is not None]
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._look()
        except (RayError, ConnectionError) as error:  # `_note` has seen to those of single actors
            raise HeadstartError(f"the Ray cluster is gone: {first_line(error)}", hint=LOST) from error
        return found

    @property
    def _threads(self) -> int:
        resources = ray.cluster_resources()
        return max(1, int(resources.get("CPU", 1) // resources.get("GPU", 1))) if self.task.on_gpu else 1

    def _look(self) -> None:
        """Asks for an actor for each core, or GPU, that has none yet; tells if there is none for long."""
        self._looked = time.monotonic()
        n_wanted = int(ray.cluster_resources().get("GPU" if self.task.on_gpu else "CPU", 0))
        needs = {"num_cpus": self._threads, "num_gpus": 1} if self.task.on_gpu else {"num_cpus": 1}
        while len(self._actors) < n_wanted:
            kept = environment_of_workers(of_own=self.of_own)
            handle = self._member.options(runtime_env={"env_vars": kept} if kept else None, **needs).remote(*self._packed)
            self._actors.append(_Actor(handle, handle.is_ready.remote()))
        if not any(one.is_ready for one in self._actors) and self._looked - self._began > TOLD_SECONDS:
            self._began = float("inf")  # once is enough
            what = "GPU" if self.task.on_gpu else "core"
            warnings.warn(f"no {what} of the Ray cluster is free: the work waits for one", HeadstartWarning, stacklevel=2)

    def _note(self, one: _Actor) -> Finished | Ended | None:
        """What an actor's answer means; None if it is ready now, or will never be."""
        shard, ref, one.answer = one.shard, one.answer, None
        try:
            answer: Outcome | bool = ray.get(ref)
        except RayActorError as error:  # it or its node has ended; `_look` asks for another
            self._actors.remove(one)
            self._looked = 0.0  # look for another at once
            if shard is not None:
                return Ended(shard, "its node or its process is gone")
            self._n_stillborn += 1
            if self._n_stillborn > MOST_STILLBORN:
                raise HeadstartError(f"workers cannot start on the Ray cluster: {_last_line(error)}", hint=SAME) from error
            return None
        one.shard, one.is_ready, self._n_stillborn = None, True, 0
        if isinstance(answer, bool):
            return None
        assert shard is not None
        return Finished.of(shard, answer)


@contextmanager
def ray_crew(task: Task, parts: Parts, address: str) -> Iterator[RayCrew]:
    """The workers of a cluster, who end with the block. Raises HeadstartError."""
    with connected(address) as of_own:
        crew = RayCrew(task, parts, of_own)
        try:
            yield crew
        finally:
            for one in crew._actors:
                ray.kill(one.handle)


def _last_line(error: Exception) -> str:
    """Of a traceback, which Ray puts into the text of its errors: what was raised."""
    return (str(error) or type(error).__name__).strip().splitlines()[-1]
