"""The log of what people decide about images: labels given and corrected, images excluded. It is only appended to."""

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock, RLock
from typing import TypeVar

from headstart.data.decided import (
    UNDO,
    Answer,
    Change,
    Decision,
    ImageEntry,
    ImageKey,
    LabelConflict,
    Standing,
    State,
    linked,
)
from headstart.data.label_file import connect, damaged, explained
from headstart.data.log_entries import changes_of, decision_of, entries_after, entries_where, last_about, state_of
from headstart.data.prepared_changes import MANY, PreparedChanges, prepare, prepare_reversal, staged
from headstart.data.sources import class_name
from headstart.data.table_labels import is_missing
from headstart.data.undo_stacks import LogEntry, UndoStacks
from headstart.errors import DataError

Made = TypeVar("Made", Decision, Decision | None)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class LabelLog:
    """A log in a file. Each entry is on disk when the call returns. Threads and processes may write at the same time.

    A request to write may have a `key`, its own for ever: if the answer was lost, `answer_to` has it.
    """

    def __init__(self, file: Path, database: sqlite3.Connection) -> None:
        self.file, self._database = file, database
        self._lock, self._preparing = RLock(), Lock()
        self._stacks = UndoStacks()

    @classmethod
    def open(cls, file: Path, *, create: bool = True) -> "LabelLog":
        """The log in a file, which is made if there is none and `create`.

        Raises DataError if it is damaged, of a newer version, or another program's.
        """
        return cls(file, connect(file, create=create))

    def close(self) -> None:
        """Ends the use of the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> "LabelLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is written

    def decide(self, changes: Sequence[Change] | PreparedChanges, *, who: str, why: str, key: str | None = None) -> Decision:
        """Appends one decision about one or more images.

        Raises LabelConflict if the decision in force on an image has another state than `old`; without one it is as `old` says.
        """
        prepared = changes if isinstance(changes, PreparedChanges) else None
        changes = changes.changes if isinstance(changes, PreparedChanges) else changes
        if prepared is None:
            _check_changes(changes)
        with self._writing():
            ids = prepared.images if prepared else self._ids_of([change.image for change in changes])
            places = sorted(prepared.to_check(self._database)) if prepared else range(len(ids))
            found = [(changes[place], ids[place], self._last_change(ids[place])) for place in places]
            differing = [(c, image, last[2]) for c, image, last in found if last and State(last[0], bool(last[1])) != c.old]
            self._check([(c, number) for c, image, number in differing if self._stack(image, None)])
            return self._answered(key, self._append(who, why, changes, ids, prepared=prepared))

    @contextmanager
    def prepared(self, changes: Sequence[Change]) -> Iterator[PreparedChanges]:
        """Changes made ready for `decide` within the block, in steps between which others write."""
        _check_changes(changes)
        with self._preparing, staged(self._database, self._reading):
            yield prepare(self._database, self._reading, changes, self._added, self._last_change)

    def undo(
        self,
        who: str,
        *,
        anyone: bool = False,
        before: int | None = None,
        key: str | None = None,
        prepared: PreparedChanges | None = None,
    ) -> Decision | None:
        """Takes back the last decision of `who` that is in force, or the last of all with `anyone`; None if there is none.

        Raises LabelConflict if an image of it was decided on since. With its number as `before`, the one before it comes next.
        """
        with self._writing():
            root = self._caught_up().to_undo(None if anyone else who, before)
            return self._answered(key, None if root is None else self._reverse(root, who, UNDO, prepared))

    def redo(
        self, who: str, *, anyone: bool = False, key: str | None = None, prepared: PreparedChanges | None = None
    ) -> Decision | None:
        """Makes the decision again that `who` undid last, or that anybody did with `anyone`; None if there is none.

        Raises LabelConflict if an image of it was decided on since.
        """
        with self._writing():
            root = self._caught_up().to_redo(None if anyone else who)
            if root is None:
                return self._answered(key, None)
            ((why,),) = self._database.execute("SELECT why FROM decisions WHERE number = ?", (root,))
            return self._answered(key, self._reverse(root, who, why, prepared))

    @contextmanager
    def prepared_reversal(self, who: str, *, again: bool, before: int | None = None) -> Iterator[PreparedChanges | None]:
        """What `undo` would write now, or `redo` with `again`, made ready in the same way; None if it is about few images."""
        with self._reading():
            stacks = self._caught_up()
            root = stacks.to_redo(who) if again else stacks.to_undo(who, before)
            entry = None if root is None else last_about(self._database, root)
            few = entry is None or entry[1] < MANY
        if few or entry is None:
            yield None
            return
        with self._preparing, staged(self._database, self._reading):
            yield prepare_reversal(self._database, self._reading, entry[0].number)

    def note_class(self, name: str, who: str) -> None:
        """Keeps the name of a class that has no image yet. Raises DataError for what cannot be one, also in a table."""
        if not name or name.strip() != name or class_name(name) != name or CONTROL.search(name) or is_missing(name):
            raise DataError(
                f"{name!r} cannot be the name of a class",
                hint="a name is not empty, has no space at its ends, and is no word for a missing value, such as NA",
            )
        with self._writing():
            row = (name, who, time.time())
            self._database.execute("INSERT OR IGNORE INTO classes (name, who, at) VALUES (?, ?, ?)", row)

    # What is read

    @property
    def last(self) -> int:
        """The number of the last entry; 0 if there is none."""
        with self._reading():
            ((last,),) = self._database.execute("SELECT coalesce(max(number), 0) FROM decisions")
            return int(last)

    def answer_to(self, key: str) -> Answer | None:
        """What came of the request with this key; None if there was none, or if nothing came of it."""
        with self._reading():
            found = self._database.execute("SELECT decision FROM keys WHERE key = ?", (key,)).fetchone()
            return found and Answer(None if found[0] is None else self._decision_of(found[0]))

    def classes(self) -> list[str]:
        """The names that `note_class` was given, in that order."""
        with self._reading():
            return [name for (name,) in self._database.execute("SELECT name FROM classes ORDER BY id")]

    def since(self, number: int) -> Iterator[Decision]:
        """The entries after `number` in their order, also those of other processes."""
        while True:
            with self._reading():
                entries = entries_where(self._database, "number > ?", number)
            changes = changes_of(self._database, self._reading, entries)
            for entry in entries:
                yield decision_of(entry, changes)
            if not entries:
                return
            number = entries[-1][0]

    def about(self, images: Iterable[ImageKey], until: int) -> list[ImageEntry]:
        """What the entries up to `until` say of some images, of each image in their order."""
        query = (
            "SELECT d.number, d.root, d.why, c.new_label, c.new_excluded FROM images i JOIN changes c ON c.image = i.id "
            "JOIN decisions d ON d.number = c.decision WHERE i.path = ? AND i.digest = ? AND d.number <= ? ORDER BY c.id"
        )
        with self._reading():
            return [
                ImageEntry(number, root, why, image, state_of(label, bool(excluded)))
                for image in images
                for number, root, why, label, excluded in self._database.execute(
                    query, (image.path, bytes.fromhex(image.digest), until)
                )
            ]

    def states(self, until: int | None = None) -> dict[ImageKey, State]:
        """What was decided last of every image that was ever decided on; with `until`, as it was after that entry.

        What was taken back is as it was before. Images are in the order in which they were first decided on.
        """
        return {key: state_of(label, excluded) for key, label, excluded, _ in self._last_of_all(until)}

    def standing(self, until: int | None = None) -> dict[ImageKey, Standing]:
        """The decision in force on each image that has one, without the images whose decisions were all taken back."""
        until = self.last if until is None else until
        with self._reading():
            entries = {
                number: (root, at, who, why, takes_back)
                for number, root, at, who, why, takes_back in self._database.execute(
                    "SELECT d.number, d.root, r.at, r.who, r.why, d.takes_back FROM decisions d "
                    "JOIN decisions r ON r.number = d.root WHERE d.number <= ?",
                    (until,),
                )
            }
            found: dict[ImageKey, Standing] = {}
            for key, label, excluded, number in self._last_of_all(until):
                if entries[number][-1]:
                    stack = self._stack(self._id_of(key), until)
                    if not stack:
                        continue
                    number = stack[-1]
                found[key] = Standing(state_of(label, excluded), *entries[number][:4])
        return found

    def digest(self, until: int | None = None) -> str:
        """SHA-256 of all entries in canonical form, each linked to the one before; of none it is that of no bytes.

        Raises DataError if an entry is not what was written.
        """
        link, number = b"", 0
        with self._reading():
            while entries := entries_where(self._database, "number > ? AND (? IS NULL OR number <= ?)", number, until, until):
                changes = changes_of(self._database, self._reading, entries)
                for entry in entries:
                    link = linked(link, decision_of(entry, changes))
                    if link != entry[7] or entry[0] != number + 1:
                        raise damaged(self.file, f"decision {number + 1} is not what was written")
                    number = entry[0]
        return link.hex() or sha256().hexdigest()

    # Within

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, explained(self.file):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of the block is on disk when it ends, or nothing if it fails."""
        with self._reading():
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                yield

    def _added(self, images: Sequence[ImageKey]) -> list[int]:
        """The ids of images, which are added if they are new, in a transaction of its own."""
        with self._writing():
            return self._ids_of(images)

    def _id_of(self, image: ImageKey) -> int:
        row = (image.path, bytes.fromhex(image.digest))
        ((found,),) = self._database.execute("SELECT id FROM images WHERE path = ? AND digest = ?", row)
        return int(found)

    def _ids_of(self, images: Sequence[ImageKey]) -> list[int]:
        """The ids of the images, which are added if they are new."""
        rows = [(image.path, bytes.fromhex(image.digest)) for image in images]
        self._database.executemany("INSERT OR IGNORE INTO images (path, digest) VALUES (?, ?)", rows)
        return [self._id_of(image) for image in images]

    def _last_change(self, image: int) -> tuple[str | None, int, int] | None:
        query = "SELECT new_label, new_excluded, decision FROM changes WHERE image = ? ORDER BY id DESC LIMIT 1"
        row: tuple[str | None, int, int] | None = self._database.execute(query, (image,)).fetchone()
        return row

    def _check(self, conflicts: Sequence[tuple[Change, int]], root: int | None = None) -> None:
        """Raises LabelConflict if there is a change that does not fit; each comes with the number of the entry in its way."""
        if conflicts:
            entries = {number: self._decision_of(number) for number in {number for _, number in conflicts}}
            raise LabelConflict([(change, entries[number]) for change, number in conflicts], root)

    def _decision_of(self, number: int) -> Decision:
        entries = entries_where(self._database, "number = ?", number)
        return decision_of(entries[0], changes_of(self._database, self._reading, entries))

    def _append(
        self,
        who: str,
        why: str,
        changes: Sequence[Change],
        ids: Sequence[int],
        reversing: LogEntry | None = None,
        prepared: PreparedChanges | None = None,
    ) -> Decision:
        """Appends an entry: a decision, or one that takes back the entry `reversing`."""
        select = "SELECT number, first_change + n_changes, chain FROM decisions ORDER BY number DESC LIMIT 1"
        before, first, chain = self._database.execute(select).fetchone() or (0, 1, b"")
        undoes = reversing.number if reversing else None
        made = Decision(before + 1, time.time(), who, why, tuple(changes), undoes)
        root, takes_back = (reversing.root, not reversing.takes_back) if reversing else (made.number, False)
        entry = (made.number, made.at, who, why, undoes, root, takes_back, first, len(ids))
        link = linked(chain, made, prepared.text if prepared else None)
        self._database.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*entry, link))
        if prepared:
            prepared.write(self._database, first, made.number)
            return made
        rows = (
            (first + i, made.number, ids[i], c.old.label, c.old.excluded, c.new.label, c.new.excluded)
            for i, c in enumerate(changes)
        )
        self._database.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return made

    def _answered(self, key: str | None, made: Made) -> Made:
        """What was made for the request with this key, which is kept."""
        if key is not None:
            self._database.execute("INSERT INTO keys VALUES (?, ?)", (key, made.number if made else None))
        return made

    def _caught_up(self) -> UndoStacks:
        """What can be undone and redone, with all entries that were written since, also by other processes."""
        for entry in entries_after(self._database, self._stacks.seen):
            self._stacks.add(entry)
        return self._stacks

    def _reverse(self, root: int, who: str, why: str, prepared: PreparedChanges | None) -> Decision:
        """Takes back the last entry about a decision. Raises LabelConflict unless all that came after it was taken back too."""
        entry, _ = last_about(self._database, root)
        if prepared is not None and prepared.reverses == entry.number:
            changes, ids = prepared.changes, prepared.images
            places: Iterable[int] = sorted(prepared.to_check(self._database))
        else:  # few, or somebody was quicker
            prepared = None
            written = self._decision_of(entry.number)
            changes = [Change(change.image, change.new, change.old) for change in written.changes]
            ids = [self._id_of(change.image) for change in changes]
            places = range(len(ids))
        conflicts = []
        for place in places:
            image, last = ids[place], self._last_change(ids[place])
            if last and last[2] != entry.number and self._stack(image, entry.number) != self._stack(image, None):
                conflicts.append((changes[place], last[2]))
        self._check(conflicts, root)
        return self._append(who, why, changes, ids, entry, prepared)

    def _stack(self, image: int, until: int | None) -> list[int]:
        """The decisions about an image that are in force after entry `until`, the last one last."""
        query = "SELECT d.root, d.takes_back FROM changes c JOIN decisions d ON d.number = c.decision WHERE c.image = ?"
        stack: list[int] = []
        values = (image, until, until)
        for root, takes_back in self._database.execute(f"{query} AND (? IS NULL OR d.number <= ?) ORDER BY c.id", values):
            if takes_back:
                stack.remove(root)
            else:
                stack.append(root)
        return stack

    def _last_of_all(self, until: int | None) -> Iterator[tuple[ImageKey, str | None, bool, int]]:
        """(image, label, whether it is excluded, number of the entry) of the last change of every image."""
        with self._reading():
            query = "SELECT coalesce(max(first_change + n_changes), 1) FROM decisions WHERE ? IS NULL OR number <= ?"
            ((end,),) = self._database.execute(query, (until, until))
            rows = self._database.execute(
                "SELECT i.digest, i.path, c.new_label, c.new_excluded, c.decision FROM "
                "(SELECT max(id) AS id FROM changes WHERE id < ? GROUP BY image ORDER BY image) AS last "
                "JOIN changes c ON c.id = last.id JOIN images i ON i.id = c.image",
                (end,),
            ).fetchall()
        for digest, path, label, excluded, number in rows:
            yield ImageKey(digest.hex(), path), label, bool(excluded), number


def _check_changes(changes: Sequence[Change]) -> None:
    """Raises ValueError or DataError for what cannot be a decision."""
    if not changes or len({change.image for change in changes}) < len(changes):
        raise ValueError("a decision is about one or more images, each named once")
    for label in {change.new.label for change in changes} - {None}:
        if not label or class_name(label) != label:
            raise DataError(f"{label!r} cannot be the name of a class", hint="choose another name")
