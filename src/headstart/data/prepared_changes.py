"""Changes of many images that are made ready for a label log in small steps, so that others can write meanwhile.

Written in one piece, a decision on 100,000 images kept all others waiting for seconds. Most of that is to find what was decided
last on each image, to make the rows, and the text for the chain: this is done before, into a table that only this connection
sees. The decision is still one transaction, which checks what others have changed since and takes about a tenth of a second.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from headstart.data.decided import Change, ImageKey, State, text_of
from headstart.data.log_entries import STEP, Reading, state_of

MANY = 1000  # fewer changes are written as they are
STAGED = """CREATE TEMP TABLE IF NOT EXISTS staged (
    place INTEGER PRIMARY KEY, image INTEGER NOT NULL,
    old_label TEXT, old_excluded INTEGER NOT NULL, new_label TEXT, new_excluded INTEGER NOT NULL)"""


@dataclass(slots=True)
class PreparedChanges:
    """Changes that are in the table `staged`, all but written."""

    end: int  # the id that the next change of the log had when this was begun
    reverses: int | None = None  # the entry that the changes take back
    changes: list[Change] = field(default_factory=list)
    images: list[int] = field(default_factory=list)  # the id of each
    doubtful: set[int] = field(default_factory=set)  # places of changes that did not fit, which is looked at again
    text: bytes = b""

    def to_check(self, database: sqlite3.Connection) -> set[int]:
        """Places of changes that may not fit: those that did not, and those whose images were decided on since."""
        since = {image for (image,) in database.execute("SELECT DISTINCT image FROM changes WHERE id >= ?", (self.end,))}
        return self.doubtful | {place for place, image in enumerate(self.images) if since and image in since}

    def write(self, database: sqlite3.Connection, first: int, number: int) -> None:
        """Appends the changes to the log as those of an entry; `first` is the id of the first."""
        database.execute("INSERT INTO changes SELECT place + ?, ?, image, old_label, old_excluded, new_label, new_excluded "
                         "FROM staged ORDER BY place", (first, number))  # fmt: skip


@contextmanager
def staged(database: sqlite3.Connection, reading: Reading) -> Iterator[None]:
    """The table `staged`, empty, while the block runs, for one at a time."""
    with reading():
        database.execute("PRAGMA temp_store = MEMORY")
        database.execute(STAGED)
        database.execute("DELETE FROM staged")
    try:
        yield
    finally:
        with reading():
            database.execute("DELETE FROM staged")


def prepare(
    database: sqlite3.Connection,
    reading: Reading,
    changes: Sequence[Change],
    ids_of: Callable[[Sequence[ImageKey]], list[int]],
    last_change: Callable[[int], tuple[str | None, int, int] | None],
) -> PreparedChanges:
    """Makes changes ready. New images are added to the log at once, a step at a time; alone they mean nothing."""
    found = PreparedChanges(_end(database, reading))
    texts = []
    for begin in range(0, len(changes), STEP):
        part = changes[begin : begin + STEP]
        images = ids_of([change.image for change in part])
        with reading():
            last = [last_change(image) for image in images]
        for place, (change, before) in enumerate(zip(part, last, strict=True), begin):
            if before and State(before[0], bool(before[1])) != change.old:
                found.doubtful.add(place)
        rows = [
            (place, image, c.old.label, c.old.excluded, c.new.label, c.new.excluded)
            for place, (image, c) in enumerate(zip(images, part, strict=True), begin)
        ]
        _stage(database, reading, rows)
        found.changes += part
        found.images += images
        texts.append(text_of(part))
    found.text = b",".join(texts)
    return found


def prepare_reversal(database: sqlite3.Connection, reading: Reading, number: int) -> PreparedChanges | None:
    """Makes the reversal of an entry ready; None if it is about few images."""
    with reading():
        query = "SELECT first_change, n_changes FROM decisions WHERE number = ?"
        ((first, n),) = database.execute(query, (number,))
    if n < MANY:
        return None
    found = PreparedChanges(_end(database, reading), reverses=number)
    texts = []
    for begin in range(first, first + n, STEP):
        end = min(begin + STEP, first + n)
        with reading():
            rows = database.execute(
                "SELECT i.digest, i.path, c.image, c.new_label, c.new_excluded, c.old_label, c.old_excluded "
                "FROM changes c JOIN images i ON i.id = c.image WHERE c.id >= ? AND c.id < ? ORDER BY c.id",
                (begin, end),
            ).fetchall()
            later = database.execute(
                "SELECT c.id FROM changes c WHERE c.id >= ? AND c.id < ? "
                "AND EXISTS (SELECT 1 FROM changes d WHERE d.image = c.image AND d.id > c.id)",
                (begin, end),
            ).fetchall()
        found.doubtful.update(change - first for (change,) in later)
        part = [
            Change(ImageKey(digest.hex(), path), state_of(old, bool(was_out)), state_of(new, bool(is_out)))
            for digest, path, _, old, was_out, new, is_out in rows
        ]
        _stage(database, reading, [(place, *row[2:]) for place, row in enumerate(rows, begin - first)])
        found.changes += part
        found.images += [row[2] for row in rows]
        texts.append(text_of(part))
    found.text = b",".join(texts)
    return found


def _end(database: sqlite3.Connection, reading: Reading) -> int:
    with reading():
        ((end,),) = database.execute("SELECT coalesce(max(id), 0) + 1 FROM changes")
        return int(end)


def _stage(database: sqlite3.Connection, reading: Reading, rows: Iterable[tuple[object, ...]]) -> None:
    with reading():
        database.execute("BEGIN")
        with database:
            database.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", rows)
