"""The log of decisions: nothing is lost, everything can be taken back, and a conflict is told."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.made_decisions import ANTS, BEES, OUT, UNLABELLED, WASPS, change, image, opened, states_of
from headstart.data.decided import Answer, Change, Decision, ImageKey, LabelConflict, Standing, State
from headstart.data.label_log import LabelLog
from headstart.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def log(file: Path) -> Iterator[LabelLog]:
    with opened(file) as log:
        yield log


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
