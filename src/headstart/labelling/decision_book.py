"""What people have decided on the rows of a project: as the log has it, kept at hand, and new decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.data.decided import UNDO, Answer, Change, Decision, ImageKey, LabelConflict, State
from headstart.data.label_log import LabelLog
from headstart.errors import DataError, HeadstartError, SettingsError
from headstart.labelling.catalogue import READ, UNREADABLE, Catalogue
from headstart.labelling.queues import LABEL_ERROR, Settled

UNCHANGED: Any = object()  # the label of a decision that leaves it as it is


class DecidedMeanwhile(HeadstartError):  # noqa: N818 - a conflict is told, and is nobody's error
    """Others decided on some of the rows after the person who decides now had looked at them."""

    def __init__(self, rows: Sequence[int], n: int | None = None) -> None:
        self.rows = tuple(rows)  # as far as they have been read
        n = len(rows) if n is None else n
        images = "an image has" if n == 1 else f"{n} images have"
        super().__init__(f"{images} been decided on in another window", hint="look at what was decided, and decide again")


class UnreadRowError(DataError):
    """A row has not been read since the studio was started; it may have been seen and decided on before."""


@dataclass(slots=True)
class History:
    """What was decided on one image."""

    in_force: list[str] = field(default_factory=list)  # why each of the decisions was made that are in force, the last one last
    state: State = field(default_factory=lambda: State(None))  # after the last entry about it
    number: int = 0  # of that entry, which may also be one that took a decision back
    who: str = ""
    at: float = 0.0


class DecisionBook:
    """The decisions on rows. May be used from threads: what changes is done with the catalogue's lock held."""

    def __init__(self, catalogue: Catalogue, keys: Sequence[str], log: LabelLog) -> None:
        self.catalogue, self.keys, self.log = catalogue, keys, log
        self.settled = Settled()
        self.last = 0  # the number of the last decision
        self._of_image: dict[ImageKey, History] = {}
        self._row_of: dict[ImageKey, int] = {}  # of the rows that are read
        self._of_row: dict[int, History] = {}  # of those that were ever decided on
        self._passed: dict[str, int] = {}  # who -> a decision that cannot be taken back: the one before it comes next
        for decision in log.since(0):
            self._note(decision)

    def place(self, row: int) -> None:
        """Has a row that was just read carry what was decided on its image, also while the others were being read."""
        with self.catalogue.lock:
            image = self._image(row)
            self._row_of[image] = row
            history = self._of_image.get(image)
            if history is None:
                return
            self._of_row[row] = history
            for why in history.in_force:
                self.settled.note(why, row)
            if history.in_force:
                self.catalogue.set_state(row, history.state.label, excluded=history.state.excluded, decided=True)

    def answer_to(self, key: str | None, who: str, *, undo: bool | None = None) -> Answer | None:
        """What came of the request with this key, if there was one; `undo` says of a request which it is, None: a decision.

        Raises SettingsError if the key was another request's.
        """
        answer = self.log.answer_to(key) if key else None
        made = answer.decision if answer else None
        if answer and (
            (made is None and undo is None)
            or (made is not None and (made.who != who or (made.undoes is None) != (undo is None)))
            or (made is not None and undo is not None and (made.why == UNDO) != undo)
        ):
            raise SettingsError("the key of this decision was used for another one", hint="give each decision a key of its own")
        return answer

    def decide(
        self,
        rows: Sequence[int],
        *,
        who: str,
        why: str,
        seen: int,
        label: str | None = UNCHANGED,
        excluded: bool | None = None,
        key: str | None = None,
    ) -> Decision | None:
        """One decision about some rows, on disk when it returns; None if there are no rows.

        It is an entry of the log even if all was so already: what a person did last is what undo takes back. `seen` is the
        number of the last decision that the person has seen. Raises DecidedMeanwhile if someone else has decided on one of the
        rows since, and DataError if a row is not read, or the label cannot be a class.
        """
        with self.catalogue.lock:
            self._check_read(rows)
            histories = ((row, self._of_row.get(row)) for row in rows)
            newer = [row for row, history in histories if history and history.number > seen and history.who != who]
            if newer:
                raise DecidedMeanwhile(newer)
            if label is not UNCHANGED and label is not None and label not in self.catalogue.classes:
                self.add_class(label, who)
            changes = [self._change(row, label, excluded) for row in rows]
            tells = ":" in why or why in ("keep", "skip")  # the rows were looked at one by one
            new = [change for change in changes if tells or change.old != change.new] or changes
            if not new:
                return None
            try:
                decision = self.log.decide(new, who=who, why=why, key=key)
            except LabelConflict as conflict:
                raise self._told(conflict) from conflict
            self._passed.pop(who, None)
            self._note(decision)
            return decision

    def take_back(self, who: str, *, again: bool = False, key: str | None = None) -> Decision | None:
        """Takes back the last decision of a person, or makes the last one again that was taken back; None if there is none.

        Raises DecidedMeanwhile if others have decided on its images since; after that, the decision before it comes next.
        """
        with self.catalogue.lock:
            try:
                before = self._passed.get(who)
                decision = self.log.redo(who, key=key) if again else self.log.undo(who, before=before, key=key)
            except LabelConflict as conflict:
                if not again and conflict.number is not None:
                    self._passed[who] = conflict.number
                raise self._told(conflict) from conflict
            if decision is not None:
                self._note(decision)
            return decision

    def add_class(self, name: str, who: str) -> None:
        """Makes a class that no image has yet. Raises DataError."""
        with self.catalogue.lock:
            self.log.note_class(name, who)
            self.catalogue.class_number(name)

    def pairs_in(self, decision: Decision) -> list[tuple[int, Change]]:
        """The rows of a decision and their changes, as far as this project has the images and has read them."""
        pairs = ((self._row_of.get(change.image), change) for change in decision.changes)
        return [(row, change) for row, change in pairs if row is not None]

    def of_row(self, row: int) -> History:
        """What was decided on a row."""
        return self._of_row.get(row) or History()

    def decided_by_model(self) -> set[int]:
        """Rows whose label was changed because the model disagreed: the accuracy on them flatters it."""
        with self.catalogue.lock:
            why = f"relabel:{LABEL_ERROR}"
            return {row for row, history in self._of_row.items() if history.in_force and history.in_force[-1] == why}

    def _image(self, row: int) -> ImageKey:
        return ImageKey(self.catalogue.digest(row), self.keys[row])

    def _check_read(self, rows: Sequence[int]) -> None:
        state = self.catalogue.columns["state"]
        wrong = next((row for row in rows if state[row] != READ), None)
        if wrong is None:
            return
        if state[wrong] == UNREADABLE:
            raise DataError(f"{self.keys[wrong]} cannot be read", hint="repair or remove the file, and start the studio again")
        raise UnreadRowError(f"{self.keys[wrong]} has not been read yet", hint="send it again when it is")

    def _change(self, row: int, label: str | None, excluded: bool | None) -> Change:
        columns = self.catalogue.columns
        old = State(self.catalogue.class_name(int(columns["label"][row])), bool(columns["excluded"][row]))
        new = State(old.label if label is UNCHANGED else label, old.excluded if excluded is None else excluded)
        return Change(self._image(row), old, new)

    def _told(self, conflict: LabelConflict) -> DecidedMeanwhile:
        rows = (self._row_of.get(change.image) for change, _ in conflict.conflicts)
        return DecidedMeanwhile([row for row in rows if row is not None], len(conflict.conflicts))

    def _note(self, decision: Decision) -> None:
        """Takes an entry of the log into account."""
        self.last = decision.number
        for change in decision.changes:
            history = self._of_image.setdefault(change.image, History())
            history.number, history.who, history.at = decision.number, decision.who, decision.at
            history.state = change.new
            row = self._row_of.get(change.image)
            if decision.why == UNDO:
                why = history.in_force.pop()
                if row is not None:
                    self.settled.forget(why, row, but=history.in_force)
            else:
                history.in_force.append(decision.why)
                if row is not None:
                    self.settled.note(decision.why, row)
            if row is not None:
                self._of_row[row] = history
                self.catalogue.set_state(row, change.new.label, excluded=change.new.excluded, decided=bool(history.in_force))
