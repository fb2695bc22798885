"""A job on many images: all results once and in order, whatever ends in between."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_until

from headstart.errors import HeadstartError, HeadstartWarning
from headstart.jobs.crew import Ended, Finished, Worker
from headstart.jobs.job import MOST_ENDED, Job
from headstart.jobs.parts import PartFolder
from headstart.jobs.shards import Shard, shards_of
from jobs.counted_tasks import Reading

TEXTS = [f"text {number}" for number in range(96)]  # six shards of 16

pytestmark = pytest.mark.process


def test_the_results_come_in_the_order_of_the_images(desk):
    assert desk.run(TEXTS, "local:3") == TEXTS


def test_what_is_finished_is_not_computed_again(desk):
    desk.run(TEXTS)
    assert desk.run(TEXTS, "local:1") == TEXTS
    assert set(desk.times_computed().values()) == {1}


def test_only_the_shard_of_a_changed_file_is_computed_again(desk):
    desk.run(TEXTS)
    changed = [*TEXTS[:50], "another text", *TEXTS[51:]]
    assert desk.run(changed) == changed
    again = {int(name.removesuffix(".txt")) for name, n in desk.times_computed().items() if n > 1}
    assert again == set(range(48, 64))


def test_a_damaged_part_is_computed_again(desk):
    desk.run(TEXTS)
    part = sorted(desk.parts.place.glob("*.parquet"))[3]
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 255
    part.write_bytes(content)
    assert desk.run(TEXTS) == TEXTS
    assert sum(desk.times_computed().values()) == 96 + 16


@dataclass(frozen=True)
class OwnDisk(PartFolder):
    """A folder that a worker finds on a disk of its own."""

    def __reduce__(self) -> tuple[type[PartFolder], tuple[Path]]:
        return PartFolder, (self.place / "of the worker",)


@pytest.mark.parametrize(("at_home", "hint"), [(False, "put the --output on a disk"), (True, "set HEADSTART_HOME to a folder")])
def test_workers_that_write_to_a_disk_of_their_own_are_an_error(desk, monkeypatch, at_home, hint):
    monkeypatch.setattr(type(desk), "parts", property(lambda self: OwnDisk(self.place / "parts", at_home)))
    with pytest.raises(HeadstartError, match=r"what workers wrote to .*parts is not there, or damaged") as caught:
        desk.run(TEXTS[:32])
    assert hint in caught.value.hint


def test_killed_workers_cost_one_shard_each(desk):
    texts = [*TEXTS[:40], "wait", *TEXTS[41:]]

    def kill() -> None:
        wait_until(lambda: len(desk.times_computed()) >= 88)
        for file in desk.notes.glob("pid-*"):
            os.kill(int(file.name.removeprefix("pid-")), signal.SIGKILL)
        (desk.notes / "go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    assert desk.run(texts) == texts
    killer.join()
    assert 8 <= sum(n - 1 for n in desk.times_computed().values()) <= 2 * 16  # 8 of the open shard were computed before
    assert len(desk.times_computed()) == 96


def test_an_image_that_ends_its_worker_gets_a_reason_and_the_others_their_results(desk):
    found = desk.run([*TEXTS[:30], "end", *TEXTS[31:]])
    assert "was ended each time (exit code 9)" in found[30]
    assert found[:30] + found[31:] == TEXTS[:30] + TEXTS[31:]


def test_a_job_that_is_started_again_knows_which_image_ends_its_worker(desk):
    texts = [*TEXTS[:30], "end", *TEXTS[31:]]
    desk.run(texts)
    before = desk.times_computed()
    desk.run(texts)
    assert desk.times_computed() == before


def test_workers_that_end_before_they_finish_anything_are_an_error(desk):
    with pytest.raises(HeadstartError, match="the workers end before they finish anything"):
        desk.run(TEXTS[:20], "local:1", Reading(desk.notes, ends_at_once=True))


@dataclass
class Preempted:
    """A crew of many workers who all end at once, and then start anew."""

    worker: Worker
    n_workers: int = 100
    n_lost: int = 0
    given: list[Shard[Any]] = field(default_factory=list)

    def has_room(self) -> bool:
        return len(self.given) < self.n_workers

    def give(self, shard: Shard[Any]) -> None:
        self.given.append(shard)

    def wait(self) -> list[Finished | Ended]:
        shards, self.given = self.given, []
        if not self.n_lost:
            self.n_lost = len(shards)
            return [Ended(shard, "its node is gone") for shard in shards]
        return [Finished.of(shard, self.worker.answer(shard)) for shard in shards]


def test_many_workers_that_end_at_once_are_no_reason_to_give_up(desk):
    """As where a provider takes back all machines that it lent at a low price."""
    texts = [f"text {number}" for number in range(1024)]
    task, candidates = Reading(desk.notes), desk.files(texts)
    crew = Preempted(Worker(task, desk.parts, 1))
    results = list(Job(task, crew, desk.parts, total=len(texts)).run(shards_of(candidates, task.key, len(texts))))
    assert crew.n_lost > MOST_ENDED
    assert [text for _, table in results for text in table.column("text").to_pylist()] == texts


def test_an_error_of_the_task_is_the_error_of_the_job(desk):
    with pytest.raises(HeadstartError, match="this is refused"):
        desk.run([*TEXTS[:30], "refuse"])


def test_a_fault_in_a_worker_is_shown_with_its_place(desk):
    with pytest.raises(HeadstartError, match=r"(?s)a worker has failed.*ValueError: a fault"):
        desk.run([*TEXTS[:30], "fail"])


def test_what_workers_warn_of_is_told_once(desk, capfd):
    texts = ["warn" if number % 8 == 0 else text for number, text in enumerate(TEXTS)]
    with pytest.warns(HeadstartWarning) as told:
        assert desk.run(texts) == texts
    assert [str(one.message) for one in told] == ["an image is odd"]
    assert "odd" not in capfd.readouterr().err  # of the workers themselves


def test_workers_end_when_the_process_that_started_them_is_killed(desk, tmp_path):
    """And who starts the job again has only what was not finished computed."""
    texts = [*TEXTS[:40], "wait", *TEXTS[41:]]
    desk.files(texts)
    script = tmp_path / "driver.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path\nfrom jobs.desks import Desk\n"
        f"if __name__ == '__main__':\n    Desk(Path({str(tmp_path)!r})).run({texts!r})\n"
    )
    with subprocess.Popen([sys.executable, str(script)]) as driver:
        wait_until(lambda: len(desk.times_computed()) >= 88, driver)
        workers = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    psutil.wait_procs(workers, timeout=60)
    assert not any(worker.is_running() for worker in workers)
    (desk.notes / "go").touch()
    assert desk.run(texts) == texts
    assert 8 <= sum(n - 1 for n in desk.times_computed().values()) <= 2 * 16  # 8 of the open shard were computed before
