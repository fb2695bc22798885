"""Decisions on many images are made ready while others decide, and are what they would be if they were made at once."""

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import wait_until

from data.made_decisions import ANTS, BEES, UNLABELLED, change, opened
from headstart.data.decided import Change, Decision, LabelConflict
from headstart.data.label_log import LabelLog

N = 4500  # more than are made ready in one step


ALL = [change(number, UNLABELLED, ANTS) for number in range(N)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def log(file: Path) -> Iterator[LabelLog]:
    with opened(file) as log:
        yield log


@pytest.fixture
def other(file: Path, log: LabelLog) -> Iterator[LabelLog]:
    """The same log as another process has it."""
    with opened(file) as other:
        yield other


def decided(log: LabelLog, who: str = "ada", changes: list[Change] | None = None) -> Decision:
    """A decision on all images, made ready before."""
    with log.prepared(changes or ALL) as ready:
        return log.decide(ready, who=who, why="relabel")


def turned(log: LabelLog, who: str = "ada", *, again: bool = False) -> Decision | None:
    """Its undo or redo, made ready before."""
    with log.prepared_reversal(who, again=again) as ready:
        assert ready is not None
        return log.redo(who, prepared=ready) if again else log.undo(who, prepared=ready)


def test_as_if_made_at_once(log: LabelLog, tmp_path: Path) -> None:
    """Entries, states and the chain are those of a log in which nothing was made ready."""
    other = change(7, ANTS, BEES)
    found = [decided(log), log.decide([other], who="ada", why="label"), log.undo("ada")]
    found += [turned(log), turned(log, again=True), turned(log)]
    with opened(tmp_path / "at once.sqlite") as plain:
        wanted = [plain.decide(ALL, who="ada", why="relabel"), plain.decide([other], who="ada", why="label"), plain.undo("ada")]
        wanted += [plain.undo("ada"), plain.redo("ada"), plain.undo("ada")]
        assert [one and replace(one, at=0, changes=tuple(one.changes)) for one in found] == [
            one and replace(one, at=0) for one in wanted
        ]
        assert log.states() == plain.states() and log.standing() == plain.standing() == {}
    log.digest()  # raises if a link does not fit
    assert [one.changes for one in log.since(0)] == [one and one.changes for one in found]


def test_others_decide_meanwhile(log: LabelLog, other: LabelLog) -> None:
    """While many are made ready others decide; on one of the images that is a conflict, and nothing of the many is written."""
    with log.prepared(ALL) as ready:
        log.decide([change(N + 1, UNLABELLED, BEES)], who="bob", why="label")
        first = other.decide([change(N - 1, UNLABELLED, BEES)], who="bob", why="label")
        with pytest.raises(LabelConflict) as caught:
            log.decide(ready, who="ada", why="relabel")
    assert caught.value.conflicts == ((ALL[-1], first),)
    assert log.last == 2 and len(log.states()) == 2
    other.undo("bob")
    assert len(decided(log).changes) == N


def test_a_conflict_that_was_there_before(log: LabelLog) -> None:
    """An image that was decided on otherwise is a conflict, unless that is taken back while the others are made ready."""
    log.decide([change(3, UNLABELLED, BEES)], who="bob", why="label")
    with pytest.raises(LabelConflict):
        decided(log)
    with log.prepared(ALL) as ready:
        log.undo("bob")
        assert len(log.decide(ready, who="ada", why="relabel").changes) == N


def test_others_turn_meanwhile(log: LabelLog, other: LabelLog) -> None:
    """What others decided or took back while the reversal was made ready counts."""
    decided(log)
    with log.prepared_reversal("ada", again=False) as ready:
        first = other.decide([change(N - 1, ANTS, BEES)], who="bob", why="label")
        with pytest.raises(LabelConflict) as caught:
            log.undo("ada", prepared=ready)
        assert caught.value.conflicts == ((change(N - 1, ANTS, UNLABELLED), first),)
        other.undo("bob")
        assert other.undo("ada") is not None  # the same window was quicker
        assert log.undo("ada", prepared=ready) is None
    with log.prepared_reversal("ada", again=True) as ready:
        assert other.redo("ada") is not None and other.undo("ada") is not None
        redone = log.redo("ada", prepared=ready)
    assert redone is not None and {one.new for one in redone.changes} == {ANTS}
    log.digest()


def test_few_are_written_as_they_are(log: LabelLog) -> None:
    """Of a decision on few images nothing need be made ready to take it back, nor where there is none."""
    for again in (False, True):
        with log.prepared_reversal("ada", again=again) as ready:
            assert ready is None
        log.decide([change(1, UNLABELLED, ANTS)], who="ada", why="label")
        log.undo("ada")


WRITER = f"""
import sys
from pathlib import Path
from headstart.data.decided import Change, ImageKey, State
from headstart.data.label_log import LabelLog
log = LabelLog.open(Path(sys.argv[1]))
images = [ImageKey(f"{{i:064x}}", f"{{i}}.png") for i in range({N})]
while True:
    with log.prepared([Change(image, State(None), State("ants")) for image in images]) as ready:
        print(log.decide(ready, who="ada", why="relabel").number, flush=True)
    with log.prepared_reversal("ada", again=False) as ready:
        print(log.undo("ada", prepared=ready).number, flush=True)
"""


@pytest.mark.process
def test_kill_9(file: Path) -> None:
    """A decision on many images is in the log as a whole or not at all, however its process ended."""
    chance = random.Random(0)
    for _ in range(3):
        notes = file.with_name("notes.txt")
        with notes.open("w") as out:
            process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=out)
        n = chance.randrange(1, 6)
        wait_until(lambda notes=notes, n=n: len(notes.read_text().splitlines()) >= n, process)  # type: ignore[misc]
        process.kill()
        process.wait()
        with opened(file) as log:
            log.digest()
            assert log.last - int(notes.read_text().splitlines()[-1]) in (0, 1)
            assert {len(one.changes) for one in log.since(0)} == {N}
            while log.undo("ada"):
                pass
