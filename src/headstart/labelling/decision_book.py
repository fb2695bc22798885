"""What people have decided on the rows of a project: as the log has it, kept at hand, and new decisions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.decided import UNDO, Answer, Change, Decision, ImageKey, LabelConflict, State
from headstart.data.label_log import LabelLog
from headstart.data.log_entries import state_of
from headstart.data.prepared_changes import MANY, PreparedChanges
from headstart.data.relabelling import found_by_content
from headstart.errors import DataError, HeadstartError, SettingsError
from headstart.labelling.catalogue import READ, UNREADABLE, Catalogue
from headstart.labelling.queues import LABEL_ERROR, Settled
from headstart.labelling.row_history import NONE, LogEvent, RowHistory
from headstart.labelling.unplaced_decisions import MovedContents, MovedImages, UnplacedDecisions, UnplacedEntry

UNCHANGED: Any = object()  # the label of a decision that leaves it as it is
NO_ROW = -1


class DecidedMeanwhile(HeadstartError):  # noqa: N818 - a conflict is told, and is nobody's error
    """Others decided on some of the rows after the person who decides now had looked at them."""

    def __init__(self, rows: Sequence[int], n: int | None = None) -> None:
        self.rows = tuple(rows)  # as far as they have been read
        n = len(rows) if n is None else n
        images = "an image has" if n == 1 else f"{n} images have"
        super().__init__(f"{images} been decided on in another window", hint="look at what was decided, and decide again")


class UnreadRowError(DataError):
    """A row has not been read since the studio was started; it may have been seen and decided on before."""


@dataclass(frozen=True, slots=True)
class PreparedDecision:
    """A decision on many rows, all but written, as things were after the entry `last` of the log."""

    last: int
    placed: int  # how many times an image had been found by then
    wanted: Sequence[int]  # the rows that were asked for
    rows: np.ndarray  # (n,) int64: the row of each change; NO_ROW: not read
    changes: PreparedChanges


class DecisionBook:
    """The decisions on rows. May be used from threads: what changes is done with the catalogue's lock held."""

    def __init__(self, catalogue: Catalogue, keys: Sequence[str], log: LabelLog) -> None:
        self.catalogue, self.keys, self.log = catalogue, keys, log
        self.settled = Settled()
        self.last = 0  # the number of the last decision
        self._roots: dict[int, int] = {}  # entry of the log -> the decision that it is about
        self._history = RowHistory.of(len(keys))
        self._row_of: dict[ImageKey, int] = {}  # of the rows that are read
        self._placed = 0  # times that an image was found to be a row
        self._unplaced = UnplacedDecisions()
        self._known_as: dict[int, ImageKey] = {}  # row -> what it was when it was decided on: it has been moved since
        self._moved = MovedContents()  # empty until all rows are read
        self._passed: dict[str, int] = {}  # who -> a decision that cannot be taken back: the one before it comes next
        for decision in log.since(0):
            self._note(decision)

    def place(self, row: int) -> None:
        """Has a row that was just read carry what was decided on its image, also while the others were being read."""
        with self.catalogue.lock:
            self._put(row, self._image(row))

    def find_moved(self) -> MovedImages:
        """Once all images are read: those that were decided on and are not where they were.

        They are found by their content, by the rule of `train --labels`: a decision on one of several copies stays with one.
        """
        with self.catalogue.lock:
            self._moved = MovedContents.of(self._unplaced.images(), self.catalogue)
            missing = self._unplaced.in_force()
            found = self._found(missing, [row for rows in self._moved.rows.values() for row in rows])
            gone = set(missing) - set(found.values())
            return MovedImages([(image, row) for row, image in sorted(found.items())], [i for i in missing if i in gone])

    def _found(self, missing: Sequence[ImageKey], rows: Sequence[int]) -> dict[int, ImageKey]:
        """Those of the rows on which nothing is decided that are images of `missing`, moved; they carry it from now on."""
        free = {row: self.catalogue.digest(row) for row in sorted(rows) if self._history.head[row] == NONE}
        found = found_by_content(missing, free, self.keys)
        for row, image in found.items():
            self._known_as[row] = image
            self._put(row, image)
        return found

    def _find_again(self, digest: str) -> None:
        """Finds anew which images the rows with this content are, after a decision on one of them was made or taken back."""
        rows = self._moved.rows[digest]
        images = [*self._moved.images[digest], *(ImageKey(digest, self.keys[row]) for row in rows)]
        for image in images:
            self._row_of.pop(image, None)
            self._unplaced.take(image)
        for row in rows:
            self._known_as.pop(row, None)
            self._history.clear(row)
            self.settled.clear(row)
        for entry in self.log.about(images, self.last):
            event = self._history.event_of(entry.number)
            self._unplaced.add(entry.image, UnplacedEntry(event, entry.why, entry.state, entry.root))
        for row in rows:
            self._put(row, self._image(row))
        self._found(self._unplaced.in_force(images), rows)
        self._as_given(np.array(rows))

    def _put(self, row: int, image: ImageKey) -> None:
        self._row_of[image] = row
        self._placed += 1
        self._carry(row, self._unplaced.take(image))

    def _carry(self, row: int, decided: Sequence[UnplacedEntry]) -> None:
        """Has a row carry what was decided on its image before it was known."""
        for entry in decided:
            self._apply(entry.event, entry.why, np.array([row]))
        if self._history.head[row] != NONE and decided:
            state = decided[-1].state
            self.catalogue.set_state(row, state.label, excluded=state.excluded, decided=True)

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

    @contextmanager
    def prepared(
        self, rows: Sequence[int], why: str, *, label: str | None = UNCHANGED, excluded: bool | None = None
    ) -> Iterator[PreparedDecision | None]:
        """A decision on many rows made ready for `decide` within the block, while others decide; None for few rows.

        Called without the catalogue's lock. Raises DataError.
        """
        if len(rows) < MANY:
            yield None
            return
        with self.catalogue.lock:
            last, placed = self.last, self._placed
            self._check_read(rows)
            states = [self.catalogue.columns[name][rows].tolist() for name in ("label", "excluded")]
        changes = self._changes(rows, states, why, label, excluded)
        row_of = dict(zip(map(self._image, rows), rows, strict=True)) if len(changes) < len(rows) else {}
        about = [row_of[change.image] for change in changes] if row_of else list(rows)
        with self.log.prepared(changes) as written:
            yield PreparedDecision(last, placed, rows, np.array(about, np.int64), written)

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
        prepared: PreparedDecision | None = None,
    ) -> Decision | None:
        """One decision about some rows, on disk when it returns; None if there are no rows.

        It is an entry of the log even if all was so already: what a person did last is what undo takes back. `seen` is the
        number of the last decision that the person has seen. `prepared` is what `prepared` gave for these rows and this wish.
        Raises DecidedMeanwhile if someone else has decided on one of the rows since, and DataError if a row is not read, or
        the label cannot be a class.
        """
        with self.catalogue.lock:
            self._check_read(rows)
            asked = np.asarray(rows, np.int64)
            newer = [row for row, event in self._history.decided_since(seen, asked) if event.who != who]
            if newer:
                raise DecidedMeanwhile(newer)
            if label is not UNCHANGED and label is not None and label not in self.catalogue.classes:
                self.add_class(label, who)
            if prepared is None or not self._fits(prepared, rows, asked):
                states = [self.catalogue.columns[name][asked].tolist() for name in ("label", "excluded")]
                changes: Sequence[Change] | PreparedChanges = self._changes(rows, states, why, label, excluded)
                if not changes:
                    return None
                about = None
            else:
                changes, about = prepared.changes, prepared.rows
            try:
                decision = self.log.decide(changes, who=who, why=why, key=key)
            except LabelConflict as conflict:
                raise self._told(conflict) from conflict
            self._passed.pop(who, None)
            self._note(decision, about)
            return decision

    @contextmanager
    def prepared_taking_back(self, who: str, *, again: bool = False) -> Iterator[PreparedDecision | None]:
        """What `take_back` would do now, made ready in the same way; None if it is about few rows."""
        with self.catalogue.lock:
            last, placed = self.last, self._placed
        with self.log.prepared_reversal(who, again=again, before=self._passed.get(who)) as written:
            if written is None:
                yield None
            else:
                yield PreparedDecision(last, placed, (), self._rows_of(written.changes), written)

    def take_back(
        self, who: str, *, again: bool = False, key: str | None = None, prepared: PreparedDecision | None = None
    ) -> Decision | None:
        """Takes back the last decision of a person, or makes the last one again that was taken back; None if there is none.

        Raises DecidedMeanwhile if others have decided on its images since; after that, the decision before it comes next.
        """
        with self.catalogue.lock:
            ready = prepared.changes if prepared else None
            try:
                if again:
                    decision = self.log.redo(who, key=key, prepared=ready)
                else:
                    decision = self.log.undo(who, before=self._passed.get(who), key=key, prepared=ready)
            except LabelConflict as conflict:
                if not again and conflict.number is not None:
                    self._passed[who] = conflict.number
                raise self._told(conflict) from conflict
            if decision is not None:
                is_it = prepared and prepared.changes.reverses == decision.undoes and prepared.placed == self._placed
                self._note(decision, prepared.rows if prepared and is_it else None)
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

    def of_row(self, row: int) -> LogEvent:
        """The last entry of the log about a row, which may also be one that took a decision back."""
        return self._history.last_event(row)

    def decided_by_model(self) -> np.ndarray:
        """Rows whose label was changed because the model disagreed: the accuracy on them flatters it."""
        with self.catalogue.lock:
            return self._history.decided_for(f"relabel:{LABEL_ERROR}")

    def _image(self, row: int) -> ImageKey:
        return self._known_as.get(row) or ImageKey(self.catalogue.digest(row), self.keys[row])

    def _fits(self, prepared: PreparedDecision, rows: Sequence[int], asked: np.ndarray) -> bool:
        """Whether all is as it was when a decision on the rows was made ready."""
        is_known = prepared.placed == self._placed  # no image was read or found since
        return is_known and prepared.wanted == rows and not self._history.decided_since(prepared.last, asked)

    def _check_read(self, rows: Sequence[int]) -> None:
        states = self.catalogue.columns["state"][np.asarray(rows, np.int64)]
        if (states == READ).all():
            return
        wrong = rows[int((states != READ).argmax())]
        if (states == UNREADABLE).any():
            wrong = rows[int((states == UNREADABLE).argmax())]
            raise DataError(f"{self.keys[wrong]} cannot be read", hint="repair or remove the file, and start the studio again")
        raise UnreadRowError(f"{self.keys[wrong]} has not been read yet", hint="send it again when it is")

    def _changes(
        self, rows: Sequence[int], states: Sequence[list[int]], why: str, label: str | None, excluded: bool | None
    ) -> list[Change]:
        """What a decision changes, given (labels, whether they are excluded) of the rows as they are."""
        names = [*self.catalogue.classes, None]  # the last is that of NO_CLASS, -1
        looked_at = ":" in why or why in ("keep", "skip")  # the rows were looked at one by one
        changes = []
        for row, number, is_out in zip(rows, *states, strict=True):
            old = state_of(names[number], bool(is_out))
            new = state_of(old.label if label is UNCHANGED else label, old.excluded if excluded is None else excluded)
            changes.append(Change(self._image(row), old, new))
        return [change for change in changes if looked_at or change.old != change.new] or changes

    def _told(self, conflict: LabelConflict) -> DecidedMeanwhile:
        rows = (self._row_of.get(change.image) for change, _ in conflict.conflicts)
        return DecidedMeanwhile([row for row in rows if row is not None], len(conflict.conflicts))

    def _rows_of(self, changes: Sequence[Change]) -> np.ndarray:
        return np.fromiter((self._row_of.get(change.image, NO_ROW) for change in changes), np.int64, len(changes))

    def _note(self, decision: Decision, rows: np.ndarray | None = None) -> None:
        """Takes an entry of the log into account; `rows` are those of its changes, if they are known."""
        changes = decision.changes
        rows = self._rows_of(changes) if rows is None else rows
        event = self._history.begin(LogEvent(decision.number, decision.who, decision.at, decision.why))
        self.last = decision.number
        self._roots[decision.number] = root = self._roots[decision.undoes] if decision.undoes else decision.number
        entries: dict[State, UnplacedEntry] = {}  # shared, as most images of a decision on many have one state
        for place in np.flatnonzero(rows == NO_ROW).tolist():
            image, state = changes[place].image, changes[place].new
            self._unplaced.add(image, entries.setdefault(state, UnplacedEntry(event, decision.why, state, root)))
        read = rows != NO_ROW
        self._apply(event, decision.why, rows[read])
        states = [(change.new.label, change.new.excluded) for change in changes]
        kept = [state for state, is_read in zip(states, read.tolist(), strict=True) if is_read]
        self.catalogue.set_states(rows[read], kept, self._history.head[rows[read]] != NONE)
        self._as_given(rows[read])
        for digest in self._moved.ambiguous(changes, self._known_as.get):
            self._find_again(digest)

    def _as_given(self, rows: np.ndarray) -> None:
        """Has the rows on which nothing is decided be as the data has them now."""
        free = rows[self._history.head[rows] == NONE]
        given = [(self.catalogue.class_name(number), False) for number in self.catalogue.columns["given"][free].tolist()]
        self.catalogue.set_states(free, given, np.zeros(len(free), bool))

    def _apply(self, event: int, why: str, rows: np.ndarray) -> None:
        """Has rows carry an entry of the log."""
        if why != UNDO:
            self._history.push(event, rows)
            for row in rows.tolist() if ":" in why else ():
                self.settled.note(why, row)
            return
        for taken, of_reason in self._history.pop(event, rows):
            for row in of_reason.tolist() if ":" in taken else ():
                self.settled.forget(taken, row, but=self._history.reasons(row))
