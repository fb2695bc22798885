"""Work that releases Python's lock, done by several threads in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")
AHEAD = 4  # items a thread that are begun before they are asked for


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def beside(*tasks: Callable[[], None]) -> Iterator[None]:
    """Does the tasks in another thread while the block runs, such as imports whose seconds the block hides on two cores.

    What goes wrong with a task is raised where the block ends without an error of its own.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="headstart-beside") as pool:
        running = [pool.submit(task) for task in tasks]
        yield
        for task in running:
            task.result()


def map_in_threads(function: Callable[[T], U], items: Iterable[T], workers: int | None = None) -> Iterator[U]:
    """The results of `function` in the order of `items`, computed in threads a bounded distance ahead."""
    n_threads = workers or min(16, cores())
    waiting: deque[Future[U]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(n_threads, thread_name_prefix="headstart") as pool:
        try:
            for item in islice(source, AHEAD * n_threads):
                waiting.append(pool.submit(function, item))
            while waiting:
                result = waiting.popleft().result()
                for item in islice(source, 1):
                    waiting.append(pool.submit(function, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()
