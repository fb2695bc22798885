"""What is known about each image before it is opened: where it is, its label, split and group."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from headstart.data.archives import ZipMember
from headstart.data.boxes import Box
from headstart.data.dicom import group_of
from headstart.data.image_files import BoxInFile, ImageFile
from headstart.data.images import UnreadableImage, read_bytes
from headstart.data.remote_file import Fetched
from headstart.errors import DataError
from headstart.schema import Count, Schema, Sha256
from headstart.storage import sha256_of_bytes

NUMBERS = re.compile(r"(\d+)")
ANY_DIGIT = str.maketrans("123456789", "0" * 9)
SURROGATE = re.compile("[\ud800-\udfff]")  # not a character: it cannot be written as UTF-8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be an image, not opened yet."""

    path: str  # as shown to people: as given; archive members as `set.zip!a/b.jpg`, boxes as `a.jpg#1,2,3,4`
    file: ImageFile  # where its bytes are; `set.zip/a/b.jpg` for a member of an archive that is not unpacked
    label: str | None = None
    split: str | None = None  # "train", "val", "test", or None if not given
    group: str | None = None  # images of one group stay together in one split
    member: ZipMember | Fetched | None = None  # of an archive that is not unpacked; or what was fetched of a remote file

    def read(self) -> bytes:
        """The file's bytes, those of a box with its mark. Raises UnreadableImage."""
        if self.member is None:
            return read_bytes(self.file)
        return self.member.read() if self.box is None else self.box.mark + self.member.read()

    @property
    def box(self) -> Box | None:
        """Which part of the picture the image is; None: all of it."""
        return self.file.box if isinstance(self.file, BoxInFile) else None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not used, and why."""

    path: str
    reason: str
    # excluded: by the owner; conflict: of its labels; unlabelled: no label came with it, and nobody gave it one
    kind: Literal["unusable", "excluded", "repeated", "conflict", "unlabelled"] = "unusable"


class LabelsUsed(Schema):
    """Which state of the labels of a project was used."""

    digest: Sha256  # of the log of the decisions
    decisions: Count


@dataclass(frozen=True, slots=True)
class Sources:
    """All candidates of a data set in a fixed order, and what was left out before any file was opened."""

    name: str  # of the data set, for run folders and titles
    candidates: Sequence[Candidate]
    skipped: tuple[Skipped, ...] = ()
    empty_classes: tuple[tuple[str, str], ...] = field(default=())  # (split or "", class) of folders without any file
    notes: tuple[str, ...] = ()  # what the owner should know of what was found; without names of images
    is_table: bool = False
    has_boxes: bool = False  # whether images are boxes in pictures
    several: bool = False  # whether the labels are sets of labels (see label_sets.py)
    # Of several labels those that have a column, so that every image says whether it has them; none where images list theirs.
    columns: frozenset[str] = frozenset()
    number: str = ""  # what the labels are called, where they are numbers; "" where they are classes
    labels_used: LabelsUsed | None = None  # of the project that the labels are from; None if they are those of the data


def digest_of(candidate: Candidate) -> str:
    """SHA-256 of a file's bytes; "" if it cannot be read, which is reported when it is opened."""
    return identity_of(candidate)[0]


def identity_of(candidate: Candidate) -> tuple[str, str]:
    """The same digest, and the group that the file itself names; "" if it names none."""
    try:
        data = candidate.read()
    except UnreadableImage:
        return "", ""
    return sha256_of_bytes(data), group_of(data)


def with_split(sources: Sources, split: str) -> Sources:
    """The same candidates, all in `split`. Raises DataError if they already have other splits."""
    said = sorted({candidate.split for candidate in sources.candidates if candidate.split})
    if said and said != [split]:
        raise DataError(
            f"{sources.name} is given as {split} but contains {', '.join(said)} itself",
            hint=f"give the folder that contains the classes, such as {sources.name}/{said[-1]}",
        )
    return replace(
        sources,
        candidates=tuple(replace(candidate, split=split) for candidate in sources.candidates),
        empty_classes=tuple((split, label) for _, label in sources.empty_classes),
    )


def class_name(text: str) -> str:
    """The class's name; macOS decomposes accented letters and other systems do not, but both mean the same class."""
    return unicodedata.normalize("NFC", printable(text))


def natural_order(name: str) -> list[str | tuple[int, str, str]]:
    """Sort key that puts 2 before 10: text and number in turn, beginning with a text, which may be empty."""
    parts: list[str | tuple[int, str, str]] = NUMBERS.split(name)
    for i in range(1, len(parts), 2):
        digits = str(parts[i])
        number = digits.lstrip("0")
        parts[i] = (len(number), number, digits)
    return parts


def in_natural_order(names: Iterable[str]) -> list[str]:
    """The names with 2 before 10. Those that have digits in the same places, as most of a folder have, sort as they are."""
    listed = list(names)
    places = {name.translate(ANY_DIGIT) for name in listed}
    return sorted(listed) if len(places) == 1 else sorted(listed, key=natural_order)


def printable(name: str) -> str:
    """A file's name as text. Bytes that are not UTF-8, as in names from old systems, are escaped, as in `k\\xe4fer`."""
    return SURROGATE.sub(_escaped, name)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    is_byte = 0xDC80 <= code <= 0xDCFF  # as Python keeps one in a name
    return f"\\x{code - 0xDC00:02x}" if is_byte else f"\\u{code:04x}"
