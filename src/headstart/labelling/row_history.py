"""What was decided on each row, in columns, so that a decision on 100,000 rows is noted as fast as one on a few."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np

NONE = -1


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An entry of the log, without its changes."""

    number: int  # 0: there is none
    who: str
    at: float
    why: str


NOTHING = LogEvent(0, "", 0.0, "")


@dataclass(slots=True)
class RowHistory:
    """The decisions in force on each row, as stacks, and the last entry about it.

    A decision on a row is a node, whose parent is the decision before it; a row's `head` is the last one that is in force.
    """

    head: np.ndarray  # (n,) int32: a node; NONE: nothing is in force
    last: np.ndarray  # (n,) int32: an event; NONE: it was never decided on
    _events: list[LogEvent] = field(default_factory=list)
    _numbers: list[int] = field(default_factory=list)  # of the events, ascending
    _parents: np.ndarray = field(default_factory=lambda: np.empty(64, np.int32))
    _event_of: np.ndarray = field(default_factory=lambda: np.empty(64, np.int32))  # of each node
    _n_nodes: int = 0

    @classmethod
    def of(cls, n: int) -> "RowHistory":
        """Of `n` rows on which nothing was decided."""
        return cls(np.full(n, NONE, np.int32), np.full(n, NONE, np.int32))

    def begin(self, event: LogEvent) -> int:
        """Takes the next entry of the log; the number that `push` and `pop` know it by."""
        self._events.append(event)
        self._numbers.append(event.number)
        return len(self._events) - 1

    def event_of(self, number: int) -> int:
        """The number that `begin` gave for an entry of the log."""
        return bisect_left(self._numbers, number)

    def clear(self, row: int) -> None:
        """Has a row be as if nothing had ever been decided on it."""
        self.head[row] = self.last[row] = NONE

    def push(self, event: int, rows: np.ndarray) -> None:
        """The rows were decided on."""
        begin, self._n_nodes = self._n_nodes, self._n_nodes + len(rows)
        if self._n_nodes > len(self._parents):
            size = 2 * self._n_nodes
            self._parents, self._event_of = np.resize(self._parents, size), np.resize(self._event_of, size)
        self._parents[begin : self._n_nodes] = self.head[rows]
        self._event_of[begin : self._n_nodes] = event
        self.head[rows] = np.arange(begin, self._n_nodes)
        self.last[rows] = np.maximum(self.last[rows], event)

    def pop(self, event: int, rows: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """The last decision on each of the rows was taken back: (why it was made, the rows) of each decision."""
        nodes = self.head[rows]
        self.head[rows] = self._parents[nodes]
        self.last[rows] = np.maximum(self.last[rows], event)
        decided = self._event_of[nodes]
        return [(self._events[place].why, rows[decided == place]) for place in np.unique(decided).tolist()]

    def last_event(self, row: int) -> LogEvent:
        """The last entry about a row, which may also have taken a decision back."""
        place = int(self.last[row])
        return NOTHING if place == NONE else self._events[place]

    def decided_since(self, number: int, rows: np.ndarray) -> list[tuple[int, LogEvent]]:
        """Those of the rows whose last entry came after an entry of the log, with it."""
        last = self.last[rows]
        newer = last >= bisect_right(self._numbers, number)
        return [(row, self._events[place]) for row, place in zip(rows[newer].tolist(), last[newer].tolist(), strict=True)]

    def reasons(self, row: int) -> list[str]:
        """Why each decision on a row was made that is in force, the last one first."""
        found, node = [], int(self.head[row])
        while node != NONE:
            found.append(self._events[self._event_of[node]].why)
            node = int(self._parents[node])
        return found

    def decided_for(self, why: str) -> np.ndarray:
        """Rows whose last decision in force was made for this reason."""
        rows = np.flatnonzero(self.head != NONE)
        is_so = np.fromiter((event.why == why for event in self._events), bool, len(self._events))
        found: np.ndarray = rows[is_so[self._event_of[self.head[rows]]]]
        return found
