"""The same job on a Ray cluster of two nodes with one core each."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_until

from headstart.errors import HeadstartError, HeadstartWarning
from jobs.desks import Desk

pytest.importorskip("ray")
TESTS = str(Path(__file__).parents[1])
TEXTS = [f"text {number}" for number in range(96)]  # six shards of 16
WAITING = [*TEXTS[:40], "wait", *TEXTS[41:]]  # the other node has computed 88 by the time that this one is waited for
pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster whose workers find the tasks of the tests."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """The same for all tests that leave two nodes behind."""
    with two_nodes() as made:
        yield made


def when_all_others_are_computed(desk: Desk, act: Callable[[], None]) -> threading.Thread:
    """Acts as soon as one image is waited for, and then has it go on."""

    def watch() -> None:
        wait_until(lambda: len(desk.times_computed()) >= 88)
        act()
        (desk.notes / "go").touch()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_the_results_come_in_the_order_of_the_images(desk, cluster):
    assert desk.run(TEXTS, f"ray:{cluster.address}") == TEXTS
    assert set(desk.times_computed().values()) == {1}


def test_killed_workers_cost_one_shard_each(desk, cluster):
    def kill() -> None:
        for file in desk.notes.glob("pid-*"):
            os.kill(int(file.name.removeprefix("pid-")), signal.SIGKILL)

    killer = when_all_others_are_computed(desk, kill)
    assert desk.run(WAITING, f"ray:{cluster.address}") == WAITING
    killer.join()
    assert 8 <= sum(n - 1 for n in desk.times_computed().values()) <= 2 * 16  # 8 of the open shard were computed before


@pytest.mark.parametrize("what", ["all processes", "raylet"])
def test_a_lost_node_costs_its_shard(desk, cluster, what):
    extra = cluster.add_node(num_cpus=1)

    def lose() -> None:
        if what == "raylet":
            raylet_of(extra).kill()
        else:
            cluster.remove_node(extra, allow_graceful=False)

    killer = when_all_others_are_computed(desk, lose)
    assert desk.run(WAITING, f"ray:{cluster.address}") == WAITING
    killer.join()
    if what == "raylet":
        cluster.remove_node(extra, allow_graceful=False)
    assert sum(n - 1 for n in desk.times_computed().values()) <= 3 * 16


def raylet_of(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def test_the_loss_of_the_driver_s_own_node_is_one_sentence_and_costs_a_shard_a_worker(desk, tmp_path):
    """Ray itself ends the driver without a word."""
    with two_nodes() as cluster, driver_of(desk, tmp_path, cluster.address) as driver:
        wait_until(lambda: len(desk.times_computed()) >= 88, driver)
        raylet_of(cluster.head_node).kill()
        _, errors = driver.communicate()
    assert driver.returncode == 1
    assert "the node of the Ray cluster that this command is connected to is gone (start it, and then the same" in errors
    (desk.notes / "go").touch()
    assert desk.run(WAITING, "local:2") == WAITING
    assert 8 <= sum(n - 1 for n in desk.times_computed().values()) <= 2 * 16


def test_an_image_that_ends_its_worker_gets_a_reason(desk, cluster):
    found = desk.run([*TEXTS[:16], "end"], f"ray:{cluster.address}")
    assert "was ended each time" in found[16]
    assert found[:16] == TEXTS[:16]


def test_what_workers_warn_of_is_told_once(desk, cluster):
    texts = ["warn" if number % 8 == 0 else text for number, text in enumerate(TEXTS)]
    with pytest.warns(HeadstartWarning) as told:
        assert desk.run(texts, f"ray:{cluster.address}") == texts
    assert [str(one.message) for one in told] == ["an image is odd"]


def driver_of(desk: Desk, folder: Path, address: str) -> "subprocess.Popen[str]":
    """A process that does the job on a cluster."""
    desk.files(WAITING)
    script = folder / "driver.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {TESTS!r})\nfrom pathlib import Path\nfrom jobs.desks import Desk\n"
        f"Desk(Path({str(folder)!r})).run({WAITING!r}, 'ray:{address}')\n"
    )
    return subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)


def test_a_killed_driver_costs_a_shard_a_worker(desk, cluster, tmp_path):
    with driver_of(desk, tmp_path, cluster.address) as driver:
        wait_until(lambda: len(desk.times_computed()) >= 88, driver)
        driver.kill()
    # Workers outlive a driver that is killed for a moment: those that saw "go" would finish their shards.
    workers = [int(file.name.removeprefix("pid-")) for file in desk.notes.glob("pid-*")]
    wait_until(lambda: not any(map(psutil.pid_exists, workers)))
    (desk.notes / "go").touch()
    assert desk.run(WAITING, f"ray:{cluster.address}") == WAITING
    assert 8 <= sum(n - 1 for n in desk.times_computed().values()) <= 2 * 16  # 8 of the open shard were computed before


def test_no_cluster_at_the_address_is_one_sentence(desk):
    with pytest.raises(HeadstartError, match=r"no Ray cluster answers at 127\.0\.0\.1:9: ") as caught:
        desk.run(TEXTS[:1], "ray:127.0.0.1:9")
    assert "ray start --head" in caught.value.hint
