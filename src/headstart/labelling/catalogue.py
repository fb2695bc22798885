"""The images of a project, one row each: what is known of them, in columns, and what people decided."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.sources import Candidate, natural_order
from headstart.model.features_on_disk import FeaturesOnDisk

SPLITS = ("", "train", "val", "test")  # by number, as in the column `split`
WAITING, READ, UNREADABLE = 0, 1, 2  # of a row, as in the column `state`
NO_CLASS = -1
FACTS = ("brightness", "sharpness", "contrast", "red", "green", "blue", "dhash")  # that are columns, besides the size
DIGEST_BYTES = 32
# Values of a column before anything is known of a row.
COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "state": (np.uint8, WAITING),
    "label": (np.int32, NO_CLASS),
    "given": (np.int32, NO_CLASS),  # the label that came with the data
    "excluded": (np.uint8, 0),
    "decided": (np.uint8, 0),  # whether a person decided on it
    "split": (np.uint8, 0),
    "folder": (np.int32, 0),
    "width": (np.int32, 0),
    "height": (np.int32, 0),
    "brightness": (np.float32, np.nan),
    "sharpness": (np.float32, np.nan),
    "contrast": (np.float32, np.nan),
    "red": (np.float32, np.nan),  # mean of the channel
    "green": (np.float32, np.nan),
    "blue": (np.float32, np.nan),
    "dhash": (np.uint64, 0),
    "format": (np.uint8, 0),  # of the file: a number of Catalogue.formats
    "predicted": (np.int32, NO_CLASS),
    "confidence": (np.float32, np.nan),
    "suspicion": (np.float32, np.nan),  # one minus the probability of the label, by a model that never saw the image
    "unfamiliar": (np.float32, np.nan),  # how unlike the labelled rows a row without a label is; above 1: unfamiliar
    "findings": (np.uint32, 0),  # bits, in the order of the checks
}


@dataclass
class Catalogue:
    """Rows in the order of the candidates; a row's number never changes.

    The scan fills the rows in, one by one; people change labels; the model changes what it says. Each column has one writer at
    a time, and readers see either the old or the new value of a row.
    """

    candidates: Sequence[Candidate]
    classes: list[str]  # new ones are added at the end
    folders: list[str]
    columns: dict[str, np.ndarray]  # name -> (n,)
    digests: np.ndarray  # (n, 32) uint8: SHA-256 of the files' bytes; 0 until a row is read
    problems: dict[int, str] = field(default_factory=dict)  # why a row cannot be read
    formats: list[str] = field(default_factory=list)  # that files have, by number
    # (n, n_features); if nobody has put a FeaturesOnDisk there, an array once the first row is known
    vectors: np.ndarray | FeaturesOnDisk = field(default_factory=lambda: np.empty((0, 0), np.float16))
    channels: str = ""  # what is chosen of stacks, as `decode` takes it
    n_read: int = 0  # rows that are read or cannot be
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while labels and classes change

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.classes)}

    @classmethod
    def of(cls, candidates: Sequence[Candidate], classes: Iterable[str] = ()) -> "Catalogue":
        """A row for each candidate, not read yet, with the labels that came with the data and further classes."""
        n = len(candidates)
        named = sorted({candidate.label for candidate in candidates if candidate.label is not None}, key=natural_order)
        ordered = [*named, *(name for name in classes if name not in set(named))]
        number = {name: i for i, name in enumerate(ordered)}
        folders: dict[str, int] = {}
        columns = {name: np.full(n, empty, dtype) for name, (dtype, empty) in COLUMNS.items()}
        for row, candidate in enumerate(candidates):
            columns["split"][row] = SPLITS.index(candidate.split or "")
            columns["folder"][row] = folders.setdefault(candidate.path.rpartition("/")[0], len(folders))
            if candidate.label is not None:
                columns["given"][row] = number[candidate.label]
        columns["label"][:] = columns["given"]
        return cls(candidates, ordered, list(folders), columns, np.zeros((n, DIGEST_BYTES), np.uint8))

    def __len__(self) -> int:
        return len(self.digests)

    def digest(self, row: int) -> str:
        """The SHA-256 of a row's file, 64 hexadecimal digits; all zero if it was not read."""
        return self.digests[row].tobytes().hex()

    def fill(self, row: int, image: LabelledImage, facts: ImageFacts, vector: np.ndarray) -> None:
        """Writes what the scan found for a row; (n_features,) float32 `vector`."""
        if not len(self.vectors):
            self.vectors = np.zeros((len(self), len(vector)), np.float16)
        self.vectors[row] = vector
        self.digests[row] = np.frombuffer(bytes.fromhex(image.sha256), np.uint8)
        self.describe(row, facts)
        self.columns["width"][row], self.columns["height"][row] = image.width, image.height
        self.columns["state"][row] = READ
        self.n_read += 1

    def describe(self, row: int, facts: ImageFacts) -> None:
        """Writes the facts of a row that are columns."""
        for name in FACTS:
            self.columns[name][row] = getattr(facts, name)
        if facts.format not in self.formats:
            self.formats.append(facts.format)
        self.columns["format"][row] = self.formats.index(facts.format)

    def facts(self, rows: np.ndarray) -> tuple[ImageFacts, ...]:
        """The facts of (n_rows,) rows, as far as columns hold them."""
        names = ("width", "height", *FACTS)
        values = zip(*(self.columns[name][rows].tolist() for name in names), strict=True)
        formats = [self.formats[number] for number in self.columns["format"][rows].tolist()]
        return tuple(
            ImageFacts(format=one, **dict(zip(names, row, strict=True))) for one, row in zip(formats, values, strict=True)
        )

    def give_up(self, row: int, problem: str) -> None:
        """Notes that a row cannot be read, and why."""
        self.problems[row] = problem
        self.columns["state"][row] = UNREADABLE
        self.n_read += 1

    def class_number(self, name: str | None) -> int:
        """The number of a class, which is added if it is new; -1 for None."""
        if name is None:
            return NO_CLASS
        with self.lock:
            number = self._numbers.setdefault(name, len(self.classes))
            if number == len(self.classes):
                self.classes.append(name)
            return number

    def class_name(self, number: int) -> str | None:
        """The name of a class; None for -1."""
        return None if number == NO_CLASS else self.classes[number]

    def set_state(self, row: int, label: str | None, *, excluded: bool, decided: bool) -> None:
        """Writes what people decided on a row, or what was there before."""
        with self.lock:
            self.columns["label"][row] = self.class_number(label)
            self.columns["excluded"][row] = excluded
            self.columns["decided"][row] = decided

    def set_states(self, rows: np.ndarray, states: Sequence[tuple[str | None, bool]], decided: np.ndarray) -> None:
        """The same for many rows: (label, whether it is excluded) of each, and (n,) bool whether a person decided on it."""
        with self.lock:
            numbers = {label: self.class_number(label) for label in dict.fromkeys(label for label, _ in states)}
            self.columns["label"][rows] = [numbers[label] for label, _ in states]
            self.columns["excluded"][rows] = [excluded for _, excluded in states]
            self.columns["decided"][rows] = decided

    def readable(self) -> np.ndarray:
        """(n,) bool: the rows that can be shown and used."""
        usable: np.ndarray = self.columns["state"] == READ
        return usable

    def labelled(self) -> np.ndarray:
        """Rows that have a label, can be read and are not left out."""
        columns = self.columns
        return np.flatnonzero(self.readable() & (columns["label"] != NO_CLASS) & (columns["excluded"] == 0))
