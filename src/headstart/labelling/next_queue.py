"""The queue of images without a label: those that teach the model most come first."""

import threading

import numpy as np

from headstart.labelling.catalogue import NO_CLASS, Catalogue
from headstart.labelling.live_model import LiveFit
from headstart.labelling.next_images import next_images, some_of
from headstart.labelling.queues import Item

QUEUE = "next"
AT_ONCE = 60  # rows that are chosen together
STALE = 1.2  # so many times as many labels as when they were chosen: they are chosen anew


class NextQueue:
    """Chooses rows some at a time, and anew when the labels have grown."""

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._rows, self._chosen_for = seed, np.empty(0, np.int64), -1
        self._choosing = threading.Lock()

    def items(self, catalogue: Catalogue, fit: LiveFit | None, done: set[int], n: int) -> list[Item]:
        """The first `n` that wait."""
        with self._choosing:
            waiting, n_labelled = self._waiting(catalogue, done), len(catalogue.labelled())
            too_few = len(waiting) < n and len(waiting) < int(open_for_labels(catalogue, done).sum())
            if too_few or n_labelled > STALE * self._chosen_for:
                self._choose(catalogue, fit, done, n_labelled)
                waiting = self._waiting(catalogue, done)
            return [_item(catalogue, row) for row in waiting[:n]]

    def _waiting(self, catalogue: Catalogue, done: set[int]) -> list[int]:
        is_open = open_for_labels(catalogue, done)
        return [row for row in self._rows.tolist() if is_open[row]]

    def _choose(self, catalogue: Catalogue, fit: LiveFit | None, done: set[int], n_labelled: int) -> None:
        rows, labelled = (
            some_of(those, np.random.default_rng(self._seed))
            for those in (np.flatnonzero(open_for_labels(catalogue, done)), catalogue.labelled())
        )
        known = np.concatenate([rows, labelled])
        labels = catalogue.columns["label"][known].astype(np.int64)
        vectors = catalogue.vectors[known].astype(np.float32)
        probabilities = None
        if fit is not None:
            present = np.unique(fit.labels)
            probabilities = fit.probabilities(vectors)[:, present]
        chosen = next_images(vectors, labels, probabilities, AT_ONCE, self._seed, np.arange(len(rows)))
        self._rows, self._chosen_for = known[chosen], n_labelled


def open_for_labels(catalogue: Catalogue, done: set[int]) -> np.ndarray:
    """(n,) bool: rows that can be read, have no label, are not left out, and are not among those that were looked at."""
    columns = catalogue.columns
    is_open: np.ndarray = catalogue.readable() & (columns["label"] == NO_CLASS) & (columns["excluded"] == 0)
    is_open[list(done)] = False
    return is_open


def _item(catalogue: Catalogue, row: int) -> Item:
    predicted = int(catalogue.columns["predicted"][row])
    if predicted == NO_CLASS:
        return Item(row, None, None, "is typical of the images without a label")
    share = catalogue.columns["confidence"][row]
    return Item(row, None, predicted, f"has no label; the model says {catalogue.class_name(predicted)!r} ({share:.0%})")
