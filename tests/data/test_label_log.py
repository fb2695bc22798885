"""The log of decisions: nothing is lost, everything can be taken back, and a conflict is told."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.decided import Answer, Change, Decision, ImageKey, LabelConflict, Standing, State
from headstart.data.label_log import LabelLog
from headstart.errors import DataError

UNLABELLED, ANTS, BEES, WASPS = State(None), State("ants"), State("bees"), State("wasps")
OUT = State("ants", excluded=True)


def image(number: int) -> ImageKey:
    return ImageKey(f"{number:064x}", f"folder/{number}.jpg")


def change(number: int, old: State, new: State) -> Change:
    return Change(image(number), old, new)


def opened(file: Path) -> LabelLog:
    """A log that does not wait for the disk: no test cuts the power."""
    log = LabelLog.open(file)
    log._database.execute("PRAGMA synchronous = OFF")
    return log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def log(file: Path) -> Iterator[LabelLog]:
    with opened(file) as log:
        yield log


def states_of(log: LabelLog) -> dict[int, State]:
    return {int(key.digest, 16): state for key, state in log.states().items()}


def test_a_decision_is_kept(file: Path) -> None:
    """What was decided, by whom and why, is the same after a restart: also odd names, and several images in their order."""
    odd = Change(ImageKey("ab" * 32, "größe 大きさ, 🙂\n'\"%/a?#.jpg"), State("1.0", excluded=True), State("größe, 🙂 'x'"))
    changes = (change(7, UNLABELLED, ANTS), change(3, ANTS, OUT), odd)
    with LabelLog.open(file) as log:
        assert (log.last, log.states(), list(log.since(0))) == (0, {}, [])
        made = log.decide(changes, who="window ä", why="relabel:label_error")
        assert (made.number, made.who, made.why, made.changes, made.undoes) == (
            1,
            "window ä",
            "relabel:label_error",
            changes,
            None,
        )
    with LabelLog.open(file) as log:
        assert list(log.since(0)) == [made]
        assert list(log.states().items()) == [(c.image, c.new) for c in changes]
        assert log.standing()[odd.image] == Standing(odd.new, 1, made.at, "window ä", "relabel:label_error")


def test_the_file_alone_is_the_log(file: Path) -> None:
    """After the log is closed there is one file, which can be copied."""
    with LabelLog.open(file) as log:
        log.decide([change(1, UNLABELLED, ANTS)], who="a", why="label")
    assert [path.name for path in file.parent.iterdir()] == ["labels.sqlite"]


def test_a_decision_is_about_images(log: LabelLog) -> None:
    """A decision about nothing, or twice about one image, is a mistake of the program; nothing is written."""
    for changes in ([], [change(1, UNLABELLED, ANTS), change(1, ANTS, BEES)]):
        with pytest.raises(ValueError, match="one or more images, each named once"):
            log.decide(changes, who="a", why="label")
    assert log.last == 0


@pytest.mark.parametrize("name", ["", "\udce4", "a\ud800"])
def test_a_label_is_text(log: LabelLog, name: str) -> None:
    """A label that no file could hold is refused, and nothing is written."""
    with pytest.raises(DataError, match="cannot be the name of a class"):
        log.decide([change(1, UNLABELLED, State(name))], who="a", why="label")
    assert log.last == 0


@pytest.mark.parametrize("name", ["", " ", " ants", "ants\n", "a\nb", "a\0b", "NA", "nan", "None", "#N/A", "\ud800", "a\u0308"])
def test_a_new_class_can_be_read_back(log: LabelLog, name: str) -> None:
    """A class that a table would give back as another, or as no label, cannot be made."""
    with pytest.raises(DataError, match="cannot be the name of a class"):
        log.note_class(name, "a")
    assert log.classes() == []


def test_classes_that_have_no_image_yet(file: Path) -> None:
    """Classes made by hand are kept in their order, each once; they change no decision and not the digest."""
    with LabelLog.open(file) as log:
        before = log.digest()
        for name in ("wasps", "no defect", "ants", "wasps"):
            log.note_class(name, "a")
        assert (log.last, log.digest()) == (0, before)
    with LabelLog.open(file) as log:
        assert log.classes() == ["wasps", "no defect", "ants"]


def test_a_conflict_is_told(log: LabelLog) -> None:
    """If an image is not as it was seen, nothing of the decision is written, and each conflict comes with what was decided."""
    first = log.decide([change(1, UNLABELLED, ANTS), change(2, UNLABELLED, ANTS)], who="ada", why="label")
    wanted = [change(3, UNLABELLED, BEES), change(2, UNLABELLED, BEES), change(1, UNLABELLED, BEES)]
    with pytest.raises(LabelConflict, match="2 images have been decided on in the meantime") as caught:
        log.decide(wanted, who="bob", why="label")
    assert caught.value.conflicts == ((wanted[1], first), (wanted[2], first))
    assert states_of(log) == {1: ANTS, 2: ANTS}
    log.decide([wanted[0], change(2, ANTS, BEES)], who="bob", why="label")
    assert states_of(log) == {1: ANTS, 2: BEES, 3: BEES}


def test_undo_and_redo(log: LabelLog) -> None:
    """Each undo takes back one decision more, each redo makes one again; all of it is in the log."""
    first = log.decide([change(1, UNLABELLED, ANTS), change(2, UNLABELLED, ANTS)], who="ada", why="label:next")
    log.decide([change(1, ANTS, OUT)], who="ada", why="exclude")
    undone = [log.undo("ada"), log.undo("ada")]
    assert [made.undoes for made in undone if made] == [2, 1]
    assert [made.why for made in undone if made] == ["undo", "undo"]
    assert log.undo("ada") is None
    assert states_of(log) == {1: UNLABELLED, 2: UNLABELLED}
    assert log.standing() == {}
    again = log.redo("ada")
    assert again is not None
    assert (again.undoes, again.why, again.changes) == (4, "label:next", first.changes)
    assert states_of(log) == {1: ANTS, 2: ANTS}
    assert log.standing()[image(1)] == Standing(ANTS, 1, first.at, "ada", "label:next")
    assert log.redo("ada") is not None
    assert log.redo("ada") is None
    assert states_of(log) == {1: OUT, 2: ANTS}
    assert [made.number for made in log.since(0)] == [1, 2, 3, 4, 5, 6]


def test_undo_after_a_restart(file: Path) -> None:
    """What was decided, undone and redone before a restart can be undone and redone after it."""
    with LabelLog.open(file) as log:
        for number, state in ((1, ANTS), (2, BEES), (3, WASPS)):
            log.decide([change(number, UNLABELLED, state)], who="ada", why="label")
        log.undo("ada")
        log.undo("ada")
        log.redo("ada")
    with LabelLog.open(file) as log:
        log.redo("ada")
        assert states_of(log) == {1: ANTS, 2: BEES, 3: WASPS}
        for _ in range(3):
            assert log.undo("ada") is not None
        assert set(states_of(log).values()) == {UNLABELLED}


def test_a_new_decision_ends_redo(log: LabelLog) -> None:
    """As in an editor, what was undone before a new decision cannot be redone; another person's still can."""
    for who, number in (("ada", 1), ("bob", 2)):
        log.decide([change(number, UNLABELLED, ANTS)], who=who, why="label")
        log.undo(who)
    log.decide([change(3, UNLABELLED, ANTS)], who="ada", why="label")
    assert log.redo("ada") is None
    assert log.redo("bob") is not None


def test_people_undo_their_own(log: LabelLog) -> None:
    """Undo takes back one's own last decision, or anybody's if that is asked for; redo is for who undid it."""
    log.decide([change(1, UNLABELLED, ANTS)], who="ada", why="label")
    log.decide([change(2, UNLABELLED, ANTS)], who="bob", why="label")
    log.undo("ada")
    assert states_of(log) == {1: UNLABELLED, 2: ANTS}
    assert log.undo("eve") is None
    undone = log.undo("eve", anyone=True)
    assert undone is not None and (undone.who, undone.undoes) == ("eve", 2)
    assert log.redo("bob") is None
    assert log.redo("eve") is not None
    assert states_of(log) == {1: UNLABELLED, 2: ANTS}
    assert log.redo("eve", anyone=True) is not None  # ada's
    assert states_of(log) == {1: ANTS, 2: ANTS}


def test_undo_does_not_take_another_s_decision_back(log: LabelLog) -> None:
    """If somebody has decided on the image since, even that it is right, undo is a conflict; once that is undone, it works."""
    log.decide([change(1, UNLABELLED, ANTS), change(2, UNLABELLED, ANTS)], who="ada", why="label")
    kept = log.decide([change(1, ANTS, ANTS)], who="bob", why="keep")
    with pytest.raises(LabelConflict, match="an image has been decided on in the meantime") as caught:
        log.undo("ada")
    assert caught.value.conflicts == ((change(1, ANTS, UNLABELLED), kept),)
    assert states_of(log) == {1: ANTS, 2: ANTS}
    log.undo("bob")
    assert log.undo("ada") is not None
    assert states_of(log) == {1: UNLABELLED, 2: UNLABELLED}


def test_redo_does_not_take_another_s_decision_back(log: LabelLog) -> None:
    """The same for redo."""
    log.decide([change(1, UNLABELLED, ANTS)], who="ada", why="label")
    log.undo("ada")
    log.decide([change(1, UNLABELLED, BEES)], who="bob", why="label")
    with pytest.raises(LabelConflict):
        log.redo("ada")
    log.undo("bob")
    assert log.redo("ada") is not None
    assert states_of(log) == {1: ANTS}


def test_a_decision_that_cannot_be_undone_can_be_passed_over(log: LabelLog) -> None:
    """After a conflict the decision before it can be undone."""
    log.decide([change(1, UNLABELLED, ANTS)], who="ada", why="label")
    stuck = log.decide([change(2, UNLABELLED, ANTS)], who="ada", why="label")
    log.decide([change(2, ANTS, BEES)], who="bob", why="relabel")
    with pytest.raises(LabelConflict):
        log.undo("ada")
    assert log.undo("ada", before=stuck.number) is not None
    assert log.undo("ada", before=1) is None
    assert states_of(log) == {1: UNLABELLED, 2: BEES}


def test_as_it_was(log: LabelLog) -> None:
    """The states, the decisions in force and the digest can be had as they were after any entry."""
    was = [(log.states(), log.standing(), log.digest())]
    state = UNLABELLED
    for new in (ANTS, BEES):
        log.decide([change(1, state, new), change(2 + log.last, UNLABELLED, new)], who="ada", why="label")
        state = new
        was.append((log.states(), log.standing(), log.digest()))
    for _ in range(2):
        log.undo("ada")
        was.append((log.states(), log.standing(), log.digest()))
    assert [(log.states(n), log.standing(n), log.digest(n)) for n in range(log.last + 1)] == was
    assert len({digest for _, _, digest in was}) == len(was)


@dataclass
class Plain:
    """What the log should do, in plain Python: for each image, the decisions that are in force, the last one last."""

    stacks: dict[int, list[int]] = field(default_factory=dict)
    given: dict[int, State] = field(default_factory=dict)
    decisions: dict[int, tuple[str, dict[int, State]]] = field(default_factory=dict)  # number -> who, the new states
    in_force: dict[int, dict[int, list[int]]] = field(default_factory=dict)  # decision -> the stacks just after it was made
    undone: dict[int, tuple[str, int, dict[int, list[int]]]] = field(default_factory=dict)  # decision -> who, entry, stacks
    last: int = 0

    def state(self, number: int) -> State:
        stack = self.stacks.get(number)
        return self.decisions[stack[-1]][1][number] if stack else self.given.get(number, UNLABELLED)

    def seen(self, decision: int) -> dict[int, list[int]]:
        return {number: list(self.stacks[number]) for number in self.decisions[decision][1]}

    def decide(self, who: str, new: dict[int, State]) -> None:
        self.last += 1
        self.decisions[self.last] = (who, new)
        for number in new:
            self.stacks.setdefault(number, []).append(self.last)
        self.in_force[self.last] = self.seen(self.last)
        self.undone = {d: u for d, u in self.undone.items() if u[0] != who}

    def undo(self, who: str) -> str:
        mine = [d for d in self.in_force if self.decisions[d][0] == who]
        if not mine:
            return "nothing"
        if self.seen(max(mine)) != self.in_force[max(mine)]:
            return "conflict"
        self.last += 1
        del self.in_force[max(mine)]
        for number in self.decisions[max(mine)][1]:
            self.stacks[number].pop()
        self.undone[max(mine)] = (who, self.last, self.seen(max(mine)))
        return "done"

    def redo(self, who: str) -> str:
        mine = {entry: d for d, (by, entry, _) in self.undone.items() if by == who}
        if not mine:
            return "nothing"
        decision = mine[max(mine)]
        if self.seen(decision) != self.undone[decision][2]:
            return "conflict"
        self.last += 1
        del self.undone[decision]
        for number in self.decisions[decision][1]:
            self.stacks[number].append(decision)
        self.in_force[decision] = self.seen(decision)
        return "done"


def outcome(log: LabelLog, what: str, who: str) -> str:
    try:
        made = log.undo(who) if what == "undo" else log.redo(who)
    except LabelConflict:
        return "conflict"
    return "nothing" if made is None else "done"


PEOPLE = st.sampled_from(["ada", "bob"])
DECIDE = st.tuples(
    st.just("decide"), PEOPLE, st.dictionaries(st.integers(0, 3), st.sampled_from([ANTS, BEES, OUT, UNLABELLED]), min_size=1)
)
STEPS = st.lists(
    DECIDE | st.tuples(st.sampled_from(["undo", "undo", "redo", "restart"]), PEOPLE, st.just({})), min_size=1, max_size=30
)


@settings(max_examples=100)
@given(steps=STEPS)
def test_any_order_of_steps(steps: list[tuple[str, str, dict[int, State]]]) -> None:
    """Whatever two people decide, undo and redo, with restarts between, the log is what a plain model of it is."""
    plain = Plain()
    with TemporaryDirectory() as folder:
        log = opened(Path(folder) / "labels.sqlite")
        try:
            for what, who, new in steps:
                if what == "restart":
                    log.close()
                    log = opened(Path(folder) / "labels.sqlite")
                elif what == "decide":
                    log.decide([change(n, plain.state(n), state) for n, state in new.items()], who=who, why="label")
                    plain.decide(who, new)
                else:
                    assert outcome(log, what, who) == (plain.undo(who) if what == "undo" else plain.redo(who))
                assert states_of(log) == {number: plain.state(number) for number in plain.stacks}
                standing = {int(key.digest, 16): (one.number, one.state) for key, one in log.standing().items()}
                assert standing == {n: (stack[-1], plain.state(n)) for n, stack in plain.stacks.items() if stack}
                assert log.last == plain.last
            assert [made.number for made in log.since(0)] == list(range(1, plain.last + 1))
            log.digest()
        finally:
            log.close()


def test_two_logs_on_one_file(file: Path) -> None:
    """A second process sees what the first has decided, is told of conflicts, and can undo what it decided itself."""
    with LabelLog.open(file) as first, LabelLog.open(file) as second:
        made = first.decide([change(1, UNLABELLED, ANTS)], who="ada", why="label")
        assert list(second.since(0)) == [made]
        with pytest.raises(LabelConflict):
            second.decide([change(1, UNLABELLED, BEES)], who="bob", why="label")
        second.decide([change(1, ANTS, BEES)], who="bob", why="label")
        with pytest.raises(LabelConflict):
            first.undo("ada")
        assert second.undo("bob") is not None
        assert first.undo("ada") is not None
        assert [entry.number for entry in first.since(2)] == [3, 4]
        assert first.states() == second.states()
        assert first.digest() == second.digest()


def test_many_threads(log: LabelLog) -> None:
    """Threads that decide at the same time lose nothing: each entry has its own number and its own changes."""

    def decide(number: int) -> Decision:
        return log.decide([change(number, UNLABELLED, State(f"class {number}"))], who=f"{number % 3}", why="label")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(decide, range(200)))
    assert sorted(entry.number for entry in made) == list(range(1, 201))
    assert list(log.since(0)) == sorted(made, key=lambda entry: entry.number)
    assert states_of(log) == {number: State(f"class {number}") for number in range(200)}


def test_many_images_in_one_decision(log: LabelLog) -> None:
    """Thousands of images are decided on, taken back, and read again at once, in any number of entries."""
    every = range(3_000)
    log.decide([change(number, UNLABELLED, ANTS) for number in every], who="a", why="label")
    for number in range(1_500):  # more entries than are read together
        log.decide([change(number, ANTS, BEES)], who="b", why="label")
    log.decide([change(number, BEES if number < 1_500 else ANTS, WASPS) for number in every], who="a", why="label")
    assert set(log.states().values()) == {WASPS}
    log.undo("a")
    assert states_of(log) == {number: BEES if number < 1_500 else ANTS for number in every}
    entries = list(log.since(0))
    assert [entry.number for entry in entries] == list(range(1, 1_504))
    assert len(entries[-1].changes) == 3_000


# A file that cannot be used


def written(file: Path, count: int = 400) -> None:
    """A log with some pages of content."""
    with opened(file) as log:
        for number in range(0, count, 100):
            log.decide([change(n, UNLABELLED, ANTS) for n in range(number, number + 100)], who="a", why="label")


def refused(file: Path) -> DataError:
    """The error that the file gives when it is opened or read."""
    with pytest.raises(DataError) as caught, LabelLog.open(file) as log:
        log.digest()
    assert caught.value.hint
    assert str(file) in caught.value.message
    return caught.value


def test_no_database(file: Path) -> None:
    """A file of another kind is told, and is left as it is."""
    file.write_bytes(b"path,label\n" * 1000)
    assert "is damaged" in refused(file).message
    assert file.read_bytes() == b"path,label\n" * 1000


def test_a_database_of_another_program(file: Path) -> None:
    """An SQLite file of another program is told, and is left as it is."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE labels (a)")
    before = file.read_bytes()
    assert "of another program" in refused(file).message
    assert file.read_bytes() == before


def test_a_newer_format(file: Path) -> None:
    """A log of a later version is refused with what to do."""
    written(file)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 2")
    error = refused(file)
    assert "has format 2; this version of headstart reads up to 1" in error.message
    assert error.hint == "pip install --upgrade headstart"


def test_a_truncated_file(file: Path) -> None:
    """A file that lacks its end is told, wherever it ends; one that is empty is a new log."""
    written(file)
    whole = file.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert "is damaged" in refused(file).message
    file.write_bytes(b"")
    with LabelLog.open(file) as log:
        assert log.last == 0


def test_damaged_bytes(file: Path) -> None:
    """A byte that changed in the middle is told at the latest where the digest is asked for, or it changed nothing."""
    written(file)
    whole = file.read_bytes()
    with LabelLog.open(file) as log:
        right = (log.digest(), log.states())
    n_told = 0
    for place in range(100, len(whole), len(whole) // 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with LabelLog.open(file) as log:
                assert (log.digest(), log.states()) == right
        except DataError as error:
            assert error.hint
            n_told += 1
    assert n_told > 30


def test_a_changed_entry(file: Path) -> None:
    """The tables refuse changes; where somebody forces one, the digest says so."""
    written(file)
    with closing(sqlite3.connect(file)) as database:
        for statement in ("UPDATE changes SET new_label = 'bees' WHERE id = 7", "DELETE FROM decisions WHERE number = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
                database.execute(statement)
        database.execute("DROP TRIGGER no_update_of_changes")
        database.execute("UPDATE changes SET new_label = 'bees' WHERE id = 150")
        database.commit()
    assert "decision 2 is not what was written" in refused(file).message


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, and a log that is not there and not to be made, are told; nothing is made."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is not a file"):
        LabelLog.open(tmp_path / "folder")
    with pytest.raises(DataError, match="there are no labels in"):
        LabelLog.open(tmp_path / "none.sqlite", create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_written_to(folder_of_nobody: Path) -> None:
    """A log that somebody else has written can be read where this user may not write, and the error for writing says why."""
    folder = folder_of_nobody / "project"
    folder.mkdir()
    written(folder / "labels.sqlite")
    (folder / "labels.sqlite").chmod(0o444)
    folder.chmod(0o555)
    with LabelLog.open(folder / "labels.sqlite", create=False) as log:
        assert len(log.states()) == 400
        log.digest()
        with pytest.raises(DataError, match="cannot be used") as caught:
            log.decide([change(1, ANTS, BEES)], who="a", why="label")
    assert caught.value.hint
    with pytest.raises(DataError, match="cannot be used"):
        LabelLog.open(folder / "new.sqlite")
    assert [path.name for path in folder.iterdir()] == ["labels.sqlite"]
    folder.chmod(0o755)


def test_a_full_disk(small_disk: Path) -> None:
    """A decision that does not fit on the disk is told, and those before it are kept."""
    file = small_disk / "labels.sqlite"
    kept = -1
    with pytest.raises(DataError, match="the disk is full") as caught, LabelLog.open(file) as log:
        for number in range(1000):
            log.decide([change(number, UNLABELLED, ANTS)], who="a", why="label")
            kept = number
    assert caught.value.hint
    with pytest.raises(DataError, match="the disk is full"):
        LabelLog.open(small_disk / "other.sqlite")
    if kept >= 0:
        (small_disk / "other.sqlite").unlink(missing_ok=True)
        with LabelLog.open(file, create=False) as log:
            assert len(log.states()) == kept + 1


# Processes that are killed

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


def test_the_answer_to_a_request_is_kept(file: Path) -> None:
    """A request that had a key gets its first answer again, also after a restart; one that came to nothing has none."""
    with opened(file) as log:
        assert log.answer_to("a") is None
        made = log.decide([change(1, UNLABELLED, ANTS)], who="me", why="label", key="a")
        undone = log.undo("me", key="b")
        assert log.undo("me", key="c") is None
        redone = log.redo("me", key="d")
        assert log.redo("me", key="e") is None
        with pytest.raises(LabelConflict):
            log.decide([change(1, UNLABELLED, BEES)], who="me", why="label", key="f")
    with opened(file) as log:
        answers = {key: log.answer_to(key) for key in "abcdef"}
        assert answers == {
            "a": Answer(made),
            "b": Answer(undone),
            "c": Answer(None),
            "d": Answer(redone),
            "e": Answer(None),
            "f": None,
        }
        assert log.last == 3


def test_a_key_is_used_once(log: LabelLog) -> None:
    """A second request with the key of another writes nothing."""
    log.decide([change(1, UNLABELLED, ANTS)], who="me", why="label", key="a")
    with pytest.raises(sqlite3.IntegrityError):
        log.decide([change(2, UNLABELLED, ANTS)], who="me", why="label", key="a")
    assert log.last == 1


def test_labels_that_came_with_the_data_may_change(log: LabelLog) -> None:
    """What was undone binds nobody: the label that came with the data may be another today."""
    log.decide([change(1, ANTS, BEES)], who="me", why="relabel")
    log.undo("me")
    log.decide([change(1, WASPS, BEES)], who="me", why="relabel")
    with pytest.raises(LabelConflict):
        log.decide([change(1, WASPS, ANTS)], who="me", why="relabel")
