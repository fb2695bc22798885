"""The entries of a label log, as they are read from its file."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from headstart.data.decided import Change, Decision, ImageKey, State
from headstart.data.undo_stacks import LogEntry

READ_TOGETHER = 1000  # entries
CHANGES_TOGETHER = 100_000  # of these entries, if it is more than one
STEP = 2000  # changes that are read or made ready while others wait
COLUMNS = "d.number, d.who, d.undoes, d.root, r.who, d.takes_back"
JOINED = "FROM decisions d JOIN decisions r ON r.number = d.root"
Reading = Callable[[], AbstractContextManager[None]]  # while others do not use the connection


def entries_where(database: sqlite3.Connection, condition: str, *values: int | None) -> list[tuple[Any, ...]]:
    """The first entries for which a condition holds: not more than fit into memory with their changes."""
    query = "SELECT number, at, who, why, undoes, first_change, n_changes, chain FROM decisions WHERE "
    found = database.execute(f"{query}{condition} ORDER BY number LIMIT {READ_TOGETHER}", values).fetchall()
    ends = [entry[5] + entry[6] for entry in found]
    return found[: max(1, sum(end - ends[0] <= CHANGES_TOGETHER for end in ends))]


def changes_of(database: sqlite3.Connection, reading: Reading, entries: Sequence[tuple[Any, ...]]) -> dict[int, list[Change]]:
    """The changes of entries that follow each other, by the number of the entry."""
    found: dict[int, list[Change]] = {entry[0]: [] for entry in entries}
    first, end = (entries[0][5], entries[-1][5] + entries[-1][6]) if entries else (0, 0)
    for begin in range(first, end, STEP):  # changes stay as they are: others need not wait until all are read
        with reading():
            rows = database.execute(
                "SELECT c.decision, i.digest, i.path, c.old_label, c.old_excluded, c.new_label, c.new_excluded "
                "FROM changes c JOIN images i ON i.id = c.image WHERE c.id >= ? AND c.id < ? ORDER BY c.id",
                (begin, min(begin + STEP, end)),
            ).fetchall()
        for number, digest, path, *states in rows:
            old, new = state_of(states[0], bool(states[1])), state_of(states[2], bool(states[3]))
            found[number].append(Change(ImageKey(digest.hex(), path), old, new))
    return found


def decision_of(entry: Sequence[Any], changes: dict[int, list[Change]]) -> Decision:
    """An entry with its changes."""
    number, at, who, why, undoes = entry[:5]
    return Decision(number, at, who, why, tuple(changes[number]), undoes)


def entries_after(database: sqlite3.Connection, number: int) -> Iterator[LogEntry]:
    """The entries after `number`, without their changes."""
    for row in database.execute(f"SELECT {COLUMNS} {JOINED} WHERE d.number > ? ORDER BY d.number", (number,)):
        yield _entry(*row)


def last_about(database: sqlite3.Connection, root: int) -> tuple[LogEntry, int]:
    """The last entry about a decision, and how many images it is about."""
    query = f"SELECT d.n_changes, {COLUMNS} {JOINED} WHERE d.number = (SELECT max(number) FROM decisions WHERE root = ?)"
    ((n, *row),) = database.execute(query, (root,))
    return _entry(*row), n


def _entry(number: int, who: str, undoes: int | None, root: int, decided_by: str, takes_back: int) -> LogEntry:
    return LogEntry(number, who, undoes, root, decided_by, bool(takes_back))


@cache
def state_of(label: str | None, excluded: bool) -> State:
    """The same state for all images that have it."""
    return State(label, excluded)
