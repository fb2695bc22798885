"""Decisions on rows, also while the images are being read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.label_log import LabelLog
from headstart.data.sources import Candidate
from headstart.errors import DataError
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.decision_book import DecidedMeanwhile, DecisionBook, UnreadRowError

KEYS = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LabelLog]:
    with LabelLog.open(tmp_path / "labels.sqlite") as log:
        yield log


def book_of(log: LabelLog, *, read: int = 3, given: str | None = "ants") -> DecisionBook:
    """Three images, of which the first `read` are read."""
    catalogue = Catalogue.of([Candidate(key, Path(key), given) for key in KEYS], log.classes())
    book = DecisionBook(catalogue, KEYS, log)
    for row in range(read):
        place(book, row)
    return book


def place(book: DecisionBook, row: int) -> None:
    """The image of a row is read."""
    image = LabelledImage(KEYS[row], Path(KEYS[row]), "ants", None, None, f"{row + 1:064x}", 8, 8)
    book.catalogue.fill(row, image, ImageFacts(), np.zeros(4, np.float32))
    book.place(row)


def states(book: DecisionBook) -> list[tuple[str | None, bool]]:
    """(label, whether it was decided on) of each row."""
    columns = book.catalogue.columns
    return [
        (book.catalogue.class_name(int(label)), bool(decided))
        for label, decided in zip(columns["label"], columns["decided"], strict=True)
    ]


def relabel(book: DecisionBook, row: int, label: str, who: str = "me", why: str = "relabel") -> None:
    book.decide([row], who=who, why=why, seen=book.last, label=label)


def test_an_image_that_is_not_read_cannot_be_decided_on(log: LabelLog) -> None:
    """Its digest is not known; nothing is written. One that is not read yet may be decided on later, as after a restart."""
    book = book_of(log, read=1)
    book.catalogue.give_up(1, "it is no image")
    for row, told in ((1, "cannot be read"), (2, "not been read yet")):
        with pytest.raises(UnreadRowError if row == 2 else DataError, match=told):
            book.decide([0, row], who="me", why="exclude", seen=0, excluded=True)
    assert log.last == 0


def test_what_was_decided_before_comes_with_the_image(log: LabelLog) -> None:
    """A row carries its decision as soon as it is read, with all queues in which it was looked at."""
    first = book_of(log)
    relabel(first, 1, "bees", why="relabel:label_error")
    first.decide([1], who="me", why="keep:sample", seen=1)
    book = book_of(log, read=1)
    assert (states(book)[1], book.settled.of("sample")) == (("ants", False), set())
    place(book, 1)
    assert states(book)[1] == ("bees", True)
    assert book.settled.of("sample") == book.settled.of("label_error") == {1}
    assert book.catalogue.classes == ["ants", "bees"]


def test_undo_and_redo_while_images_are_read(log: LabelLog) -> None:
    """What is taken back before its image is read has no effect when it is; what is made again has."""
    relabel(book_of(log), 2, "bees")
    book = book_of(log, read=1)
    assert book.take_back("me") is not None
    place(book, 2)
    assert states(book)[2] == ("ants", False)
    book = book_of(log, read=1)
    redone = book.take_back("me", again=True)
    assert redone is not None and book.pairs_in(redone) == []
    place(book, 2)
    assert states(book)[2] == ("bees", True)


def test_a_file_that_is_another_image_now(log: LabelLog) -> None:
    """A decision is about an image: a file with other bytes has none, and undo leaves it alone."""
    relabel(book_of(log), 0, "bees")
    book = book_of(log, read=0)
    other = LabelledImage(KEYS[0], Path(KEYS[0]), "ants", None, None, "f" * 64, 8, 8)
    book.catalogue.fill(0, other, ImageFacts(), np.zeros(4, np.float32))
    book.place(0)
    assert states(book)[0] == ("ants", False)
    relabel(book, 0, "wasps", who="ada")
    assert book.take_back("me") is not None
    assert states(book)[0] == ("wasps", True)


def test_labels_that_came_with_the_data_have_changed(log: LabelLog) -> None:
    """A decision that was taken back does not bind images whose given label is another one today."""
    book = book_of(log)
    relabel(book, 0, "bees")
    book.take_back("me")
    book = book_of(log, given="wasps")
    relabel(book, 0, "bees")
    assert states(book)[0] == ("bees", True)


def test_one_decision_of_several_on_an_image_is_taken_back(log: LabelLog) -> None:
    """After a restart too the decisions come off one by one, and the row was decided on until the last is off."""
    book = book_of(log)
    for label in ("bees", "wasps"):
        relabel(book, 0, label, why="relabel:label_error")
    book = book_of(log)
    book.take_back("me")
    assert (states(book)[0], book.settled.of("label_error")) == (("bees", True), {0})
    book.take_back("me")
    assert (states(book)[0], book.settled.of("label_error")) == (("ants", False), set())


def test_many_rows_are_one_decision(log: LabelLog) -> None:
    """Of many rows only those are written that change; if none does, the decision is still there to be taken back."""
    book = book_of(log)
    relabel(book, 0, "bees")
    made = book.decide([0, 1, 2], who="me", why="relabel", seen=1, label="bees")
    assert made is not None and [row for row, _ in book.pairs_in(made)] == [1, 2]
    same = book.decide([0, 1, 2], who="me", why="relabel", seen=2, label="bees")
    assert same is not None and len(same.changes) == 3
    assert book.decide([], who="me", why="relabel", seen=3, label="bees") is None
    taken = book.take_back("me")
    assert taken is not None and taken.undoes == same.number
    assert [label for label, _ in states(book)] == ["bees"] * 3


def test_a_conflict_writes_nothing(log: LabelLog) -> None:
    """Of many rows one that another person decided on stops the decision; also one that was decided on before a restart."""
    book = book_of(log)
    relabel(book, 1, "bees", who="ada")
    for again in (book, book_of(log)):
        with pytest.raises(DecidedMeanwhile) as caught:
            again.decide([0, 1, 2], who="bob", why="exclude", seen=0, excluded=True)
        assert caught.value.rows == (1,)
        assert again.of_row(1).who == "ada"
    assert log.last == 1


@pytest.fixture
def everything_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images are many: decisions on them are made ready before."""
    for module in ("headstart.labelling.decision_book", "headstart.data.label_log", "headstart.data.prepared_changes"):
        monkeypatch.setattr(f"{module}.MANY", 2)


def decide_on_all(book: DecisionBook, seen: int, between: Callable[[], object] = lambda: None, why: str = "relabel") -> None:
    """All are bees; `between` happens while that is made ready."""
    with book.prepared([0, 1, 2], why, label="bees") as ready:
        assert ready is not None
        between()
        book.decide([0, 1, 2], who="me", why=why, seen=seen, label="bees", prepared=ready)


@pytest.mark.usefixtures("everything_is_many")
def test_many_at_once(log: LabelLog) -> None:
    """A decision on many rows that was made ready is one entry, taken back and made again as one, also after a restart."""
    book = book_of(log)
    relabel(book, 1, "bees", who="ada")
    decide_on_all(book, book.last)
    (entry,) = log.since(1)
    assert [change.image.path for change in entry.changes] == ["a.jpg", "c.jpg"]  # the other was a bee already
    for again, label in ((False, "ants"), (True, "bees"), (False, "ants")):
        with book.prepared_taking_back("me", again=again) as ready:
            assert ready is not None and book.take_back("me", again=again, prepared=ready) is not None
        found = [(label, label == "bees"), ("bees", True), (label, label == "bees")]
        assert states(book) == states(book_of(log)) == found
    log.digest()


@pytest.mark.usefixtures("everything_is_many")
def test_others_decide_while_many_are_made_ready(log: LabelLog) -> None:
    """What another window decides meanwhile on one of the rows is told; what this one decides is taken into account."""
    book = book_of(log)
    with pytest.raises(DecidedMeanwhile) as caught:
        decide_on_all(book, 0, lambda: relabel(book, 1, "wasps", who="ada"))
    assert caught.value.rows == (1,) and log.last == 1
    book.take_back("ada")
    decide_on_all(book, book.last, lambda: relabel(book, 1, "wasps"))
    assert states(book) == [("bees", True)] * 3
    with book.prepared_taking_back("me") as ready:
        relabel(book, 0, "wasps")
        assert book.take_back("me", prepared=ready) is not None
    assert states(book) == [("bees", True)] * 3  # the later one was taken back
    with book.prepared_taking_back("me") as ready:
        relabel(book, 0, "wasps", who="ada")
        with pytest.raises(DecidedMeanwhile):
            book.take_back("me", prepared=ready)


@pytest.mark.usefixtures("everything_is_many")
def test_images_are_read_while_many_are_taken_back(log: LabelLog) -> None:
    """A row that is read between the two is as it was before the decision."""
    decide_on_all(book_of(log), 0)
    for read_between in (False, True):
        book = book_of(log, read=1)
        with book.prepared_taking_back("me") as ready:
            if read_between:
                place(book, 2)
            assert book.take_back("me", prepared=ready) is not None
        for row in (1,) if read_between else (1, 2):
            place(book, row)
        assert states(book) == [("ants", False)] * 3
        assert book.take_back("me", again=True) is not None
        assert states(book) == states(book_of(log)) == [("bees", True)] * 3
