"""What waits for a person's decision: one queue for each kind of doubt, the gravest first."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from headstart.audit.checks import check_named
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.findings_by_row import CHECK_NAMES, FindingsByRow

LABEL_ERROR = "label_error"
# A label is in the queue of wrong labels if the model that never saw the image finds another class more probable, or this one
# less probable than so much.
DOUBTED = 0.5


@dataclass(frozen=True, slots=True)
class Item:
    """A row to be looked at."""

    row: int
    other: int | None  # the row it is compared with
    suggestion: int | None  # the class that the model would give it
    sentence: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and how far it is worked off."""

    name: str
    title: str
    meaning: str
    n: int  # rows that wait
    done: int


@dataclass
class Settled:
    """Which rows have been looked at in which queue."""

    of_queue: dict[str, set[int]] = field(default_factory=dict)

    def note(self, why: str, row: int) -> None:
        """Notes a decision with its reason, such as "keep:label_error"."""
        if queue := _queue_of(why):
            self.of_queue.setdefault(queue, set()).add(row)

    def forget(self, why: str, row: int, *, but: Iterable[str] = ()) -> None:
        """Notes that such a decision was taken back; `but` are the reasons of those that are still in force on the row."""
        queue = _queue_of(why)
        if queue and queue not in map(_queue_of, but):
            self.of_queue.get(queue, set()).discard(row)

    def clear(self, row: int) -> None:
        """Notes that a row has not been looked at."""
        for rows in self.of_queue.values():
            rows.discard(row)

    def of(self, queue: str) -> set[int]:
        """The rows that were looked at in a queue."""
        return self.of_queue.get(queue, set())


def _queue_of(why: str) -> str:
    return why.partition(":")[2]


def doubted(catalogue: Catalogue) -> np.ndarray:
    """Rows whose labels the model doubts, the most suspicious first."""
    columns = catalogue.columns
    rows = catalogue.labelled()
    suspicion = columns["suspicion"][rows]  # NaN: of rows that the model did not judge
    differs = (columns["predicted"][rows] != columns["label"][rows]) & ~np.isnan(suspicion)
    with np.errstate(invalid="ignore"):
        doubtful = (suspicion >= DOUBTED) | differs
    ordered: np.ndarray = rows[doubtful][np.argsort(-suspicion[doubtful], kind="stable")]
    return ordered


def items_of(catalogue: Catalogue, name: str, findings: FindingsByRow | None, settled: Settled) -> list[Item]:
    """The rows of a queue that wait, in order."""
    done = settled.of(name)
    if name == LABEL_ERROR:
        return [_doubt(catalogue, row) for row in doubted(catalogue).tolist() if row not in done]
    if findings is None:
        return []
    excluded = catalogue.columns["excluded"]
    return [
        Item(one.row, one.other, None, one.sentence)
        for one in findings.of_check(name)
        if one.row not in done and not excluded[one.row] and not (one.other is not None and excluded[one.other])
    ]


def _doubt(catalogue: Catalogue, row: int) -> Item:
    columns = catalogue.columns
    label, predicted = int(columns["label"][row]), int(columns["predicted"][row])
    says = f"is labelled {catalogue.class_name(label)!r}"
    if predicted == label:
        share = 1 - columns["suspicion"][row]
        return Item(row, None, None, f"{says}, of which a model that never saw it is only {share:.0%} sure")
    share = columns["confidence"][row]
    return Item(
        row, None, predicted, f"{says}; a model that never saw it says {catalogue.class_name(predicted)!r} ({share:.0%})"
    )


def queues(catalogue: Catalogue, findings: FindingsByRow | None, settled: Settled) -> list[Queue]:
    """All queues that have or had something in them."""
    found = []
    for name in (LABEL_ERROR, *CHECK_NAMES):
        check, n = check_named(name), len(items_of(catalogue, name, findings, settled))
        if n or settled.of(name):
            found.append(Queue(name, check.title, check.meaning, n, len(settled.of(name))))
    return found
