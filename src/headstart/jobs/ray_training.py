"""A training loop in several processes of a Ray cluster, launched by Ray Train and started again after a failure."""

import socket
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from headstart.errors import HeadstartError, HeadstartWarning, first_line
from headstart.jobs.ray_cluster import connected, environment_of_workers
from headstart.machine import process_rank
from headstart.progress import Progress

LOOK_SECONDS = 0.5  # between two looks at how far training is
TOLD_SECONDS = 60.0  # without any news of the workers, after which this is told
RETRIES = 2  # from the same saved state
RESUME = "--resume RUN goes on from the last finished epoch, if there is one"
DISK = "put --output and HEADSTART_HOME on a disk that all nodes share"
# Of Ray Train, for its processes: it would change to a folder of its own, where relative paths lead nowhere.
SWITCHES = {"RAY_TRAIN_V2_ENABLED": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}

Loop = Callable[[Progress], None]  # one process of the training, in an environment as torchrun makes it; it can be pickled


@dataclass(frozen=True, slots=True)
class ClusterTraining:
    """What is trained on a cluster, and by how many."""

    loop: Loop
    needed: Path  # a file that all processes read; Ray Train's own files are put beside it
    saved: Callable[[], object]  # where the loop would go on
    on_gpu: bool
    begun_with: int | None  # so many processes, if it goes on with what is saved
    most: int  # processes that it can use

    def workers(self) -> "_Workers":
        """One for each GPU of the cluster, or each core; as many as it was begun with. Raises HeadstartError."""
        n_places = _resource("GPU" if self.on_gpu else "CPU")
        needed = self.begun_with or 1
        if n_places < needed:
            began = f"the run was begun in {needed} processes" if self.begun_with else "training needs one"
            raise HeadstartError(f"the Ray cluster has {_counted(n_places, self.on_gpu)}, but {began}", hint="add nodes to it")
        return _Workers(self.begun_with or min(n_places, self.most), self.on_gpu, _cores_per_gpu() if self.on_gpu else 1)


@dataclass(frozen=True, slots=True)
class _Workers:
    """Processes that have so many cores of a node each, and perhaps a GPU."""

    number: int
    on_gpu: bool
    n_threads: int


def _resource(kind: str) -> int:
    return int(ray.cluster_resources().get(kind, 0))


def _cores_per_gpu() -> int:
    """How many cores of a node a worker with a GPU can have, whichever node it is on; nodes without a GPU have no say."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= 1]
    return max(1, min(int(has.get("CPU", 1) // has["GPU"]) for has in found))


def _counted(n: int, on_gpu: bool) -> str:
    return f"{n or 'no'} {'GPU' if on_gpu else 'core'}{'s' * (n != 1)}"


def train_on_ray(training: ClusterTraining, address: str, progress: Progress) -> None:
    """Has workers run the loop to its end; after a failure all begin again from what it has saved.

    Where nothing more was saved, they begin again twice at most. Whatever ends this call ends the workers. Raises
    HeadstartError.
    """
    try:
        with connected(address) as of_own:
            workers = training.workers()
            environment = environment_of_workers(of_own=of_own) | SWITCHES | {"OMP_NUM_THREADS": str(workers.n_threads)}
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            kind = ray.remote(_Launch).options(
                num_cpus=0, max_concurrency=4, scheduling_strategy=here, runtime_env={"env_vars": environment}
            )
            launch: Any = kind.remote(training.loop, workers, training.needed, environment)
            try:
                _follow(launch, workers, training.saved, progress)
            finally:
                ray.kill(launch)
    except RayTaskError as error:
        reason = str(error).strip().splitlines()[-1]
        raise HeadstartError(f"training on the Ray cluster has failed: {reason}", hint=RESUME) from error
    except (RayError, ConnectionError) as error:
        raise HeadstartError(f"the Ray cluster is gone: {first_line(error)}", hint=RESUME) from error


def _follow(launch: Any, workers: _Workers, saved: Callable[[], object], progress: Progress) -> None:
    """Tells how far training is until it is finished."""
    finished, heard, told = launch.run.remote(saved), time.monotonic(), None
    while True:
        is_finished = bool(ray.wait([finished], timeout=LOOK_SECONDS)[0])
        news, error = ray.get(launch.news.remote())
        if error is not None:
            raise error
        if news not in (None, told):
            told, heard = news, time.monotonic()
            progress(*news)
        if is_finished:
            ray.get(finished)
            return
        if time.monotonic() - heard > TOLD_SECONDS:
            heard = float("inf")  # once is enough
            needs = _counted(workers.number, workers.on_gpu)
            has = _counted(_resource("GPU" if workers.on_gpu else "CPU"), workers.on_gpu)
            message = f"training waits for its workers: it needs {needs} that are free, and the Ray cluster has {has}"
            warnings.warn(message, HeadstartWarning, stacklevel=2)


class _Launch:
    """An actor beside the driver that launches the loop and hears how far it is. Workers end with it, it with the driver."""

    def __init__(self, loop: Loop, workers: _Workers, needed: Path, environment: Mapping[str, str]) -> None:
        self._loop, self._workers, self._needed, self._environment = loop, workers, needed, environment
        self._news: tuple[str, int, int] | None = None
        self._error: HeadstartError | None = None

    def run(self, saved: Callable[[], object]) -> None:
        """Trains to the end."""
        from ray.train import TrainingFailedError

        while True:
            before = saved()
            try:
                self._fit()
                return
            except TrainingFailedError:
                if saved() == before:
                    raise

    def hear(self, stage: str, done: int, total: int) -> None:
        self._news = (stage, done, total)

    def hear_error(self, error: HeadstartError) -> None:
        self._error = self._error or error

    def news(self) -> tuple[tuple[str, int, int] | None, HeadstartError | None]:
        return self._news, self._error

    def _fit(self) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        run_config: Any = RunConfig  # typed as that of Ray Train's first version
        workers, launch = self._workers, ray.get_runtime_context().current_actor
        needs = {"CPU": workers.n_threads} | ({"GPU": 1} if workers.on_gpu else {})
        TorchTrainer(
            partial(_run_process, self._loop, self._needed, launch),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if workers.on_gpu else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers.number, use_gpu=workers.on_gpu, resources_per_worker=needs),
            run_config=run_config(
                name="ray-train",
                storage_path=str(self._needed.parent),
                failure_config=FailureConfig(max_failures=RETRIES),
                worker_runtime_env={"env_vars": dict(self._environment)},
            ),
        ).fit()


def _run_process(loop: Loop, needed: Path, launch: Any) -> None:
    """One process: what it raises has Ray Train begin again, unless it is an error that would come again."""
    last = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        if process_rank() == 0 and time.monotonic() - last > LOOK_SECONDS / 2:
            last = time.monotonic()
            launch.hear.remote(stage, done, total)

    try:
        if not needed.is_file():
            raise HeadstartError(f"on node {socket.gethostname()} there is no {needed}", hint=DISK)
        loop(progress)
    except HeadstartError as error:
        ray.get(launch.hear_error.remote(error))
