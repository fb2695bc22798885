"""Processes that decide on the same images and are killed."""

import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import wait_until

from data.made_decisions import UNLABELLED
from headstart.data.decided import ImageKey, State
from headstart.data.label_log import LabelLog

N_IMAGES, N_DECISIONS = 97, 10_000
WRITER = f"""
import sys
from itertools import count
from pathlib import Path
from headstart.data.label_log import Change, ImageKey, LabelConflict, LabelLog, State
folder, who = Path(sys.argv[1]), sys.argv[2]
log = LabelLog.open(folder / "labels.sqlite")
known = log.states()
for i in count(int(sys.argv[3])):
    image, new = ImageKey(f"{{i % {N_IMAGES}:064x}}", f"{{i % {N_IMAGES}}}.png"), State(f"{{who}} {{i}}")
    while True:
        try:
            made = log.decide([Change(image, known.get(image, State(None)), new)], who=who, why="label")
            break
        except LabelConflict as conflict:
            known[image] = conflict.conflicts[0][1].changes[0].new
    known[image] = new
    print(made.number, i, flush=True)
    if (folder / "enough").exists():
        break
"""


class Writer:
    """A process that decides as fast as it can, and writes down what it has decided."""

    def __init__(self, folder: Path, who: str, first: int = 0) -> None:
        self.who, self.notes = who, folder / f"{who} from {first}.txt"
        with self.notes.open("w") as out:
            self.process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), who, str(first)], stdout=out)

    def said(self) -> list[tuple[int, int]]:
        """(number of the entry, i) of each decision that it knew to be made."""
        whole = [line.split() for line in self.notes.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(int(number), int(i)) for number, i in whole]


@pytest.mark.slow
@pytest.mark.process
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """Two processes decide 10,000 times on the same images, and each is killed once. All that they knew to have decided is in
    the log as it was, with at most one decision more of each that was killed, and the log is sound."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as name:
        folder, rng = Path(name), random.Random(0)
        writers = [Writer(folder, who) for who in ("ada", "bob")]
        for victim in writers[:]:
            enough = rng.randrange(500, 4000)
            wait_until(lambda writer=victim, n=enough: len(writer.said()) > n, victim.process)  # type: ignore[misc]
            victim.process.kill()  # in the middle of whatever it is doing
            victim.process.wait()
            writers.append(Writer(folder, victim.who, victim.said()[-1][1] + 2))
        wait_until(lambda: sum(len(writer.said()) for writer in writers) > N_DECISIONS)
        (folder / "enough").touch()
        assert [writer.process.wait() == 0 for writer in writers] == [False, False, True, True]
        said = {number: (writer.who, i) for writer in writers for number, i in writer.said()}
        with LabelLog.open(folder / "labels.sqlite") as log:
            log.digest()
            extra = check_entries(log, said)
        assert len(extra) == len(set(extra)) <= 2


def check_entries(log: LabelLog, said: dict[int, tuple[str, int]]) -> list[str]:
    """Each entry follows from those before and is what its writer said; who made those that nobody spoke of."""
    state: dict[ImageKey, State] = {}
    extra, n_found = [], 0
    for expected, made in enumerate(log.since(0), start=1):
        (found,) = made.changes
        assert made.number == expected
        assert found.old == state.get(found.image, UNLABELLED)
        who, i = said.get(made.number, (made.who, int((found.new.label or "").split()[1])))
        assert (made.who, found.image.path, found.new) == (who, f"{i % N_IMAGES}.png", State(f"{who} {i}"))
        extra += [] if made.number in said else [made.who]
        n_found += made.number in said
        state[found.image] = found.new
    assert n_found == len(said)
    assert log.states() == state
    return extra
