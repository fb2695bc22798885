"""Which decision comes next where people undo and redo, found from the entries of a label log."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of a label log, without its changes."""

    number: int
    who: str
    undoes: int | None  # the entry that it takes back; None for a decision itself
    root: int  # the decision that is made, taken back, or made again
    decided_by: str  # who made the root
    takes_back: bool  # whether the root is not in force after this entry


@dataclass(slots=True)
class UndoStacks:
    """The decisions that each person can undo and redo; entries are added in their order.

    As in an editor, a person who decides anew can no longer redo what was undone before.
    """

    seen: int = 0  # the number of the last entry
    _in_force: dict[str, list[int]] = field(default_factory=dict)  # who decided -> roots, ascending
    _undone: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # who undid -> (entry, root), ascending

    def add(self, entry: LogEntry) -> None:
        """Takes the next entry into account."""
        self.seen = entry.number
        of_person = self._in_force.setdefault(entry.decided_by, [])
        if entry.undoes is None:
            of_person.append(entry.root)
            self._undone.pop(entry.who, None)
        elif entry.takes_back:
            del of_person[bisect_left(of_person, entry.root)]
            self._undone.setdefault(entry.who, []).append((entry.number, entry.root))
        else:
            insort(of_person, entry.root)
            for undone in self._undone.values():
                place = bisect_left(undone, (entry.undoes, entry.root))
                if undone[place : place + 1] == [(entry.undoes, entry.root)]:
                    del undone[place]

    def to_undo(self, who: str | None, before: int | None = None) -> int | None:
        """The number of the last decision in force of a person (None: of all), below `before` if that is given."""
        of_all = self._in_force.values() if who is None else [self._in_force.get(who, [])]
        ends = ((roots, len(roots) if before is None else bisect_left(roots, before)) for roots in of_all)
        return max((roots[end - 1] for roots, end in ends if end), default=None)

    def to_redo(self, who: str | None) -> int | None:
        """The number of the decision that a person (None: anybody) undid last, if it was not made again since."""
        of_all = self._undone.values() if who is None else [self._undone.get(who, [])]
        return max((undone[-1] for undone in of_all if undone), default=(0, None))[1]
