"""Whether the log of a studio is what its windows were told: the decisions are made once more, by the rules, and compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from studio_window import Kind, Request, Window

from headstart.data.decided import UNDO, Decision, State


def kind_of(entry: Decision) -> Kind:
    """What an entry was asked for with."""
    return "decisions" if entry.undoes is None else "undo" if entry.why == UNDO else "redo"


@dataclass(slots=True)
class Account:
    """What was found; no sentence in `wrong` and none in `lost`: all is as it must be."""

    given: list[State]  # of each row: the label that came with the data
    row_of: dict[str, int]  # path of the log -> row
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    n_unknown: int = 0  # decisions that were never answered, of which nobody knows what came of them
    n_written: int = 0  # of these, those that are in the log
    n_conflicts: int = 0
    states: list[State] = field(default_factory=list)  # of each row, after all entries
    in_force: list[list[int]] = field(default_factory=list)  # the decisions in force on each row, the last one last
    _made: dict[int, Decision] = field(default_factory=dict)  # decisions by their numbers
    _root: dict[int, int] = field(default_factory=dict)  # entry -> the decision that it makes or takes back
    _of_person: dict[str, list[int]] = field(default_factory=dict)  # decisions in force
    _undone: dict[str, list[int]] = field(default_factory=dict)
    _was_blocked: set[int] = field(default_factory=set)  # decisions that others have decided upon since

    def check(self, entries: Sequence[Decision], windows: Sequence[Window]) -> None:
        """Compares the entries of a log with what its windows know."""
        self.states, self.in_force = list(self.given), [[] for _ in self.given]
        pairs = dict(self._pairs(entries, windows))
        touched: list[list[Decision]] = [[] for _ in self.given]
        for place, entry in enumerate(entries):
            if entry.number != place + 1:
                self.wrong.append(f"entry {place + 1} has the number {entry.number}")
            rows = [self.row_of[change.image.path] for change in entry.changes]
            request = pairs.get(entry.number)
            if request is None:
                self.wrong.append(f"nobody has made entry {entry.number}")
            elif request.kind == "decisions":
                self._check_unseen(entry, request, touched)
            self._follow(entry, rows, request)
            for row in rows:
                touched[row].append(entry)
        for window in windows:
            for request in window.requests:
                self._check_told(request, window, touched)

    def _pairs(self, entries: Sequence[Decision], windows: Sequence[Window]) -> Iterator[tuple[int, Request]]:
        """(number of an entry, the request that it was made for); what was acknowledged and is not there is lost."""
        for window in windows:
            left = [entry for entry in entries if entry.who == window.who]
            told = {request.number for request in window.requests}
            for request in reversed(window.requests):
                if request.answer is None:
                    self.n_unknown += 1
                    if left and left[-1].number not in told and self._may_be(left[-1], request):
                        self.n_written += 1
                        yield left.pop().number, request
                elif request.number is not None:
                    if left and left[-1].number == request.number:
                        yield left.pop().number, request
                    else:
                        self.lost.append(f"{window.who} was told of entry {request.number}: {request.wish}")

    def _may_be(self, entry: Decision, request: Request) -> bool:
        """Whether an entry may have been made for a request that was not answered."""
        rows = {self.row_of[change.image.path] for change in entry.changes}
        return kind_of(entry) == request.kind and (request.kind != "decisions" or rows <= set(request.wish["rows"]))

    def _check_unseen(self, entry: Decision, request: Request, touched: list[list[Decision]]) -> None:
        """A decision must not be over one of others that the person had not seen."""
        for row in request.wish["rows"]:
            if any(one.who != entry.who and one.number > request.wish["expected"] for one in touched[row][-1:]):
                self.wrong.append(f"entry {entry.number} is over another window's, which its window had not seen")

    def _check_told(self, request: Request, window: Window, touched: list[list[Decision]]) -> None:
        """A conflict that was told is one."""
        self.n_conflicts += bool(request.conflicts)
        for conflict in request.conflicts if request.kind == "decisions" else ():
            others = (one for one in touched[conflict["row"]] if one.who != window.who)
            if not any(one.number > request.wish["expected"] for one in others):
                self.wrong.append(f"{window.who} was told of a conflict on row {conflict['row']} that there was not")

    def _follow(self, entry: Decision, rows: list[int], request: Request | None) -> None:
        """Does what an entry does, and compares."""
        if [change.old for change in entry.changes] != [self.states[row] for row in rows]:
            self.wrong.append(f"entry {entry.number} was not made on what was so before it")
        if entry.undoes is None:
            wanted = self._decided(entry, rows, request)
        elif entry.why == UNDO:
            wanted = self._taken_back(entry, rows)
        else:
            wanted = self._made_again(entry, rows)
        if request is not None and request.kind != kind_of(entry):
            self.wrong.append(f"entry {entry.number} is {kind_of(entry)} where {request.kind} was wanted")
        if [change.new for change in entry.changes] != wanted:
            self.wrong.append(f"entry {entry.number} is not what was wanted: {request and request.wish}")
        for row, change in zip(rows, entry.changes, strict=True):
            self.states[row] = change.new
            self._was_blocked.update(self.in_force[row][:-1])

    def _decided(self, entry: Decision, rows: list[int], request: Request | None) -> list[State]:
        self._made[entry.number], self._root[entry.number] = entry, entry.number
        self._of_person.setdefault(entry.who, []).append(entry.number)
        self._undone[entry.who] = []
        wish = request.wish if request else {}
        wanted = {row: self._wanted(self.states[row], wish) for row in wish.get("rows", rows)}
        looked_at = ":" in entry.why or entry.why in ("keep", "skip")
        changing = [row for row, state in wanted.items() if looked_at or state != self.states[row]] or list(wanted)
        if entry.why != wish.get("why") or rows != changing:
            self.wrong.append(f"entry {entry.number} is about rows {rows}: {wish}")
        for row in rows:
            self.in_force[row].append(entry.number)
        return [wanted.get(row, State(None)) for row in rows]

    @staticmethod
    def _wanted(state: State, wish: dict[str, object]) -> State:
        label, excluded = wish.get("label", state.label), wish.get("excluded", state.excluded)
        return State(None if label is None else str(label), bool(excluded))

    def _taken_back(self, entry: Decision, rows: list[int]) -> list[State]:
        root = self._root[entry.number] = self._root.get(entry.undoes or 0, 0)
        mine = self._of_person.get(entry.who, [])
        later = [one for one in mine if one > root]
        if root not in mine or not set(later) <= self._was_blocked or any(self.in_force[row][-1] != root for row in rows):
            self.wrong.append(f"entry {entry.number} takes back {root}, which was not next")
            return []
        mine.remove(root)
        self._undone.setdefault(entry.who, []).append(root)
        for row in rows:
            self.in_force[row].pop()
        return [change.old for change in self._made[root].changes]

    def _made_again(self, entry: Decision, rows: list[int]) -> list[State]:
        root = self._root[entry.number] = self._root.get(entry.undoes or 0, 0)
        if self._undone.get(entry.who, [])[-1:] != [root]:
            self.wrong.append(f"entry {entry.number} makes {root} again, which was not next")
            return []
        self._undone[entry.who].pop()
        self._of_person[entry.who] = sorted([*self._of_person[entry.who], root])
        for row in rows:
            self.in_force[row].append(root)
        return [change.new for change in self._made[root].changes]
