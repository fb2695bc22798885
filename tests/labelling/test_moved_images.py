"""Images that were moved, renamed, copied or changed since they were decided on carry what `train --labels` would use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.label_log import LabelLog
from headstart.data.relabelling import paths_in, with_decisions
from headstart.data.sources import Candidate, Sources
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.decision_book import DecidedMeanwhile, DecisionBook

Files = dict[str, int]  # path -> content
PATHS = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "c/new.jpg", "1.jpg"]
FILES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from([0, 0, 0, 1, 2]), min_size=2)  # mostly copies
DECISIONS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["ants", "bees", None]), st.sampled_from(["label", "exclude", "undo"])),
    max_size=8,
)


@contextmanager
def log_in_memory() -> Iterator[LabelLog]:
    with TemporaryDirectory() as folder, LabelLog.open(Path(folder) / "labels.sqlite") as log:
        log._database.execute("PRAGMA synchronous = OFF")
        yield log


def source_of(files: Files) -> Sources:
    return Sources("set", tuple(Candidate(path, Path(path), None) for path in files))


def opened(log: LabelLog, files: Files) -> DecisionBook:
    """A studio on these files, read to the end."""
    catalogue = Catalogue.of(source_of(files).candidates, log.classes())
    book = DecisionBook(catalogue, paths_in(source_of(files)), log)
    for row, (path, content) in enumerate(files.items()):
        image = LabelledImage(path, Path(path), "", None, None, digest_of(content), 8, 8)
        catalogue.fill(row, image, ImageFacts(), np.zeros(4, np.float32))
        book.place(row)
    return book


def digest_of(content: int) -> str:
    return f"{content + 1:064x}"


def decide(book: DecisionBook, row: int, label: str | None, what: str) -> None:
    try:
        if what == "undo":
            book.take_back("me", again=label is None)
        else:
            book.decide([row], who="me", why=what, seen=book.last, label=label, excluded=what == "exclude")
    except DecidedMeanwhile:
        pass


def as_shown(book: DecisionBook) -> dict[str, tuple[str | None, bool]]:
    """Path -> (label, whether it is excluded) of what was decided on."""
    columns = book.catalogue.columns
    return {
        candidate.path: (book.catalogue.class_name(int(columns["label"][row])), bool(columns["excluded"][row]))
        for row, candidate in enumerate(book.catalogue.candidates)
        if columns["decided"][row]
    }


def as_trained(log: LabelLog, files: Files) -> dict[str, tuple[str | None, bool]]:
    """The same as `train --labels` has it."""
    _, found = with_decisions([source_of(files)], log.standing(), lambda wanted: [digest_of(files[c.path]) for c in wanted])
    paths = list(files)
    return {paths[number]: (standing.state.label, standing.state.excluded) for number, standing in found.of_file.items()}


@settings(max_examples=200, deadline=None)
@given(FILES, DECISIONS, FILES, DECISIONS)
@example(
    {"a/1.jpg": 0, "a/2.jpg": 0},
    [(0, "ants", "label"), (1, "ants", "label")],
    {"a/1.jpg": 1, "a/2.jpg": 0},
    [(0, "ants", "undo")],
)
def test_the_studio_shows_what_train_uses(before: Files, first: list[tuple], after: Files, then: list[tuple]) -> None:
    """Whatever became of the files: also of copies, of swapped names, and after what was decided then and taken back."""
    before, after = {path: before[path] for path in sorted(before)}, {path: after[path] for path in sorted(after)}
    with log_in_memory() as log:
        book = opened(log, before)
        for row, label, what in first:
            decide(book, row % len(before), label, what)
        assert as_shown(book) == as_trained(log, before)
        book = opened(log, after)
        book.find_moved()
        assert as_shown(book) == as_trained(log, after)
        for row, label, what in then:
            decide(book, row % len(after), label, what)
        shown = as_shown(book)
        again = opened(log, after)
        again.find_moved()
        assert shown == as_shown(again) == as_trained(log, after)
