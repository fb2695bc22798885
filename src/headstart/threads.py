"""How many processors there are, and work in threads with results in order."""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from headstart.errors import HeadstartError
from headstart.forks import forks

T = TypeVar("T")
U = TypeVar("U")
AHEAD = 4  # items per thread that are started before they are needed


def cores(root: Path = Path("/")) -> int:
    """Number of processors this process may use, at least 1: those it may run on, or fewer if it has a CPU quota.

    `root` is the folder that contains proc and sys.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(processors, cpu_quota(root))))


def cpu_quota(root: Path) -> float:
    """CPU quota of this process on Linux, in processors, as in a container started with `--cpus 1.5`; infinity without a limit.

    A process belongs to a control group; the smallest quota of the group and all its parent groups applies.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:  # hierarchy:controllers:/path of the group
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container, /proc may show the path on the host, while only its last part is mounted here, as the top folder.
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in ("", "unified") if not controllers else ("cpu", controllers):
            top = root / "sys/fs/cgroup" / mount
            quotas += (_quota_of(top.joinpath(*parts[:depth])) for depth in range(len(parts) + 1))
    return min(quotas)


def _quota_of(group: Path) -> float:
    """The quota of one control group, in processors, from cgroup version 2 (one file) or version 1 (two files)."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf  # version 1 uses -1 for no limit
    except (OSError, ValueError, ZeroDivisionError):  # no such group here; or "max", which means no limit
        return math.inf


@contextmanager
def beside(*tasks: Callable[[], None]) -> Iterator[None]:
    """Runs the tasks in another thread while the block runs, such as imports that would otherwise add seconds on two cores.

    An error in a task is raised when the block ends, unless the block raised an error itself.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="headstart-beside") as pool:
        running = [pool.submit(task) for task in tasks]
        yield
        for task in running:
            task.result()


def begun(function: Callable[[], T]) -> Future[T]:
    """What `function` will return or raise; it runs in a thread that nobody waits for when the process ends."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # who waits for it may give up; that does not cancel it

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="headstart-begun", daemon=True).start()
    return result


def map_in_threads(function: Callable[[T], U], items: Iterable[T], workers: int | None = None) -> Iterator[U]:
    """The results of `function` in the order of `items`, computed in threads a bounded number of items ahead.

    An exception from `function` is raised when its item's turn comes. No more items are started then, or when the caller stops.
    """
    n_threads = workers or min(16, cores())
    waiting: deque[Future[U]] = deque()
    source, process = iter(items), forks()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="headstart") as pool:
        try:
            waiting.extend(pool.submit(function, item) for item in islice(source, AHEAD * n_threads))
            while waiting:
                if process != forks():
                    raise HeadstartError("this work was begun before the process forked", hint="begin it in the new process")
                wait([waiting[0]])
                waiting.extend(pool.submit(function, item) for item in islice(source, 1))
                yield waiting.popleft().result()  # keep no reference: the result can be an image of half a gigabyte
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Computes matrix products in the calling thread only while the block runs.

    For many products of small or narrow matrices, two threads mostly wait for each other: on a machine that was doing other
    work too, they took ten times as long. With one thread the results do not depend on the number of cores.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with threadpool_limits(1, user_api="blas"):
        yield
