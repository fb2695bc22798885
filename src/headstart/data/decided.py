"""What people decide about images: labels given and corrected, images excluded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from headstart.errors import HeadstartError

UNDO = "undo"  # why an entry was made that takes a decision back


@dataclass(frozen=True, slots=True)
class ImageKey:
    """An image that was decided on."""

    digest: str  # SHA-256 of the file's bytes, 64 hexadecimal digits
    path: str  # relative to the common folder of its data set, so that DATA can be named in another way later


@dataclass(frozen=True, slots=True)
class State:
    """What is decided about an image."""

    label: str | None  # None: unlabelled
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A decision about one image."""

    image: ImageKey
    old: State
    new: State


@dataclass(frozen=True, slots=True)
class Decision:
    """An entry of the log."""

    number: int  # 1, 2, 3 ...
    at: float  # seconds since 1970, UTC
    who: str
    why: str  # "undo" if it takes a decision back; of one that is made again, that of the decision
    changes: tuple[Change, ...]
    undoes: int | None  # the entry that this one takes back: a decision, or to make it again, an "undo"

    @property
    def alters(self) -> bool:
        """Whether an image has another label after it, or is excluded or no more: not if all were kept or skipped."""
        return any(change.old != change.new for change in self.changes)


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """What an entry of the log says of one image."""

    number: int
    root: int  # the decision that is made, taken back or made again
    why: str
    image: ImageKey
    state: State  # after it


@dataclass(frozen=True, slots=True)
class Standing:
    """The last decision about an image that is in force."""

    state: State
    number: int
    at: float
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request to write."""

    decision: Decision | None  # None: there was nothing to undo or redo


class LabelConflict(HeadstartError):  # noqa: N818 - a conflict is told, and is nobody's error
    """An image has been decided on in the meantime, mostly by somebody else. Nothing was written."""

    def __init__(self, conflicts: Sequence[tuple[Change, Decision]], number: int | None = None) -> None:
        self.conflicts = tuple(conflicts)  # the changes that do not fit, each with the last entry about its image
        self.number = number  # of the decision that was to be taken back or made again
        images = "an image has" if len(self.conflicts) == 1 else f"{len(self.conflicts)} images have"
        super().__init__(f"{images} been decided on in the meantime", hint="look at what was decided, and decide again")


def text_of(changes: Sequence[Change]) -> bytes:
    """Changes as canonical JSON, without the brackets of their list, so that parts can be joined with commas."""
    rows = [[c.image.digest, c.image.path, c.old.label, c.old.excluded, c.new.label, c.new.excluded] for c in changes]
    return json.dumps(rows, separators=(",", ":")).encode("ascii")[1:-1]


def linked(before: bytes, made: Decision, changes: bytes | None = None) -> bytes:
    """SHA-256 of the link before and of an entry, as canonical JSON: 32 bytes. `changes` is their text, if it is known."""
    head = json.dumps([made.number, made.at, made.who, made.why, made.undoes], separators=(",", ":")).encode("ascii")
    text = text_of(made.changes) if changes is None else changes
    return sha256(b"".join((before, head[:-1], b",[", text, b"]]"))).digest()
