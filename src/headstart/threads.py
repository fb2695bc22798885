"""Work that releases Python's lock, done by several threads in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")
AHEAD = 4  # items a thread that are begun before they are asked for


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def preloading(*modules: str) -> Iterator[None]:
    """Imports modules in a thread while the block runs: on two cores that hides most of the seconds they take.

    What goes wrong with an import is raised where the block ends without an error of its own.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="headstart-import") as pool:
        imports = [pool.submit(import_module, name) for name in modules]
        yield
        for waiting in imports:
            waiting.result()


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
