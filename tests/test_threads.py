"""Work in threads keeps its order, its bounds and its errors."""

import math
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS

from headstart.threads import begun, beside, cores, cpu_quota, map_in_threads, one_blas_thread


def test_threads_stay_a_bounded_distance_ahead() -> None:
    """However slow the consumer, only a few items per thread are worked on ahead: memory is bounded."""
    taken: list[int] = []
    items = (taken.append(i) or i for i in range(1000))
    for consumed, result in enumerate(map_in_threads(lambda i: i, items, workers=2)):
        assert result == consumed
        assert len(taken) - consumed <= 4 * 2 + 2
    assert len(taken) == 1000


def test_an_error_in_a_thread_is_raised() -> None:
    """What a thread raises reaches the caller at the place of its item."""
    results = map_in_threads(lambda i: 10 // (3 - i), range(10), workers=2)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


class Picture:
    """Something large."""


def test_a_result_is_not_kept() -> None:
    """A result and the item it was made of live no longer than the caller wants them, although more are to come."""
    made: dict[int, weakref.ref[Picture]] = {}
    given: dict[int, weakref.ref[Picture]] = {}

    def items() -> Iterator[tuple[int, Picture]]:
        for number in range(8):
            picture = Picture()
            given[number] = weakref.ref(picture)
            yield number, picture
            del picture

    def make(item: tuple[int, Picture]) -> Picture:
        picture = Picture()
        made[item[0]] = weakref.ref(picture)
        return picture

    results = map_in_threads(make, items(), workers=1)
    for number in range(7):
        result = next(results)
        assert made[number]() is result
        del result
        assert made[number]() is None
    assert [number for number in range(7) if given[number]() is not None] == []
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["error", "close"])
def test_nothing_is_begun_after_the_end(end: str) -> None:
    """When an item fails or the caller stops, what has not begun is cancelled, and the threads end."""
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        if i == 1 and end == "error":
            raise ValueError(i)
        return i

    before = set(threading.enumerate())
    results = map_in_threads(work, range(1000), workers=1)
    assert next(results) == 0
    if end == "error":
        with pytest.raises(ValueError, match="1"):
            next(results)
    else:
        results.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == before
    assert len(started) <= 6


def test_begun() -> None:
    """The result or the error of what runs meanwhile, whatever it is; giving up waiting does not change it."""
    may_end = threading.Event()

    def wait() -> int:
        may_end.wait()
        return 3

    result = begun(wait)
    with pytest.raises(TimeoutError):
        result.result(0)
    assert not result.cancel()
    may_end.set()
    assert result.result(PATIENCE_SECONDS) == 3
    assert isinstance(begun(lambda: 1 / 0).exception(PATIENCE_SECONDS), ZeroDivisionError)
    assert isinstance(begun(sys.exit).exception(PATIENCE_SECONDS), SystemExit)


def test_beside() -> None:
    """Tasks are done beside the block and are done at its end; an error of one is raised there, the block's own before it."""
    in_block, done = threading.Event(), []

    def wait_for_the_block() -> None:
        assert in_block.wait(PATIENCE_SECONDS)  # the block runs at the same time, or this would never end
        done.append(threading.current_thread())

    def fail() -> None:
        raise ZeroDivisionError

    with beside(wait_for_the_block, lambda: done.append(threading.current_thread())):
        in_block.set()
    assert len(done) == 2 and threading.main_thread() not in done
    with pytest.raises(ZeroDivisionError), beside(fail):
        pass
    with pytest.raises(KeyError), beside(fail):
        raise KeyError


def write_files(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n", encoding="utf-8")


V1 = "5:cpuset:/x\n4:cpu,cpuacct:{0}\n1:name=systemd:/x\n0::/x"
QUOTAS = {
    "no Linux": ({}, math.inf),
    "no limit": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, math.inf),
    "root without a file": ({"proc/self/cgroup": "0::/"}, math.inf),
    "container": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
    "own group": (
        {
            "proc/self/cgroup": "0::/user/job",
            "sys/fs/cgroup/user/job/cpu.max": "50000 100000",
            "sys/fs/cgroup/cpu.max": "max 1",
        },
        0.5,
    ),
    "group around it": (
        {
            "proc/self/cgroup": "0::/user/job/step",
            "sys/fs/cgroup/user/job/step/cpu.max": "400000 100000",
            "sys/fs/cgroup/user/job/cpu.max": "200000 100000",
            "sys/fs/cgroup/user/cpu.max": "300000 100000",
        },
        2.0,
    ),
    "group beside it": ({"proc/self/cgroup": "0::/user", "sys/fs/cgroup/other/cpu.max": "100000 100000"}, math.inf),
    "process from outside": ({"proc/self/cgroup": "0::/../../user", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1.0),
    "version 1": (
        {
            "proc/self/cgroup": V1.format("/job"),
            "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2.5,
    ),
    "version 1, path of the host": (
        {
            "proc/self/cgroup": V1.format("/docker/0123"),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000",
        },
        1.0,
    ),
    "damaged": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "1 0"}, math.inf),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_quotas_of_control_groups(tmp_path: Path, case: str) -> None:
    """The smallest quota of the process's control group and those around it is found, of either version of control groups."""
    files, quota = QUOTAS[case]
    write_files(tmp_path, files)
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("quota", "expected"), [("max", math.inf), ("1000", 1), ("100000", 1), ("100001", 2), ("99900000", 999)]
)
def test_cores_are_what_the_quota_allows(tmp_path: Path, quota: str, expected: float) -> None:
    """A quota is rounded up to whole processors, and never gives more than the process may run on."""
    write_files(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": f"{quota} 100000"})
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert cores(tmp_path) == min(available, expected)
    assert 1 <= cores() <= available


def test_one_thread_for_products() -> None:
    """Within the block the libraries for linear algebra use one thread, after it as many as before."""
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with one_blas_thread():
        assert set(threads()) == {1}
    assert threads() == before
