"""Whether there are enough labels for now: the latest of them hardly change what the model says."""

from dataclasses import dataclass

import numpy as np

from headstart.labelling.live_model import AT_ONCE, LiveFit, LiveModel
from headstart.labelling.next_images import FEW_LABELS
from headstart.model.features_on_disk import Features

EARLIER = 2 / 3  # of the labels of each class: those that the other model is fitted to
# Labels are enough if the answers with two thirds of them disagree by less (benchmarks/labelling.py --enough).
STABLE = 0.03
FEWEST = 30  # labels below which nothing is said: two thirds of fewer make a model of chance
GROWN = 0.1  # it is judged anew when so large a share of the labels is new, gone or another
IN_A_ROW = 3  # judgements that must agree, as in Bloodgood and Vijay-Shanker 2009: one alone may be chance
MOST_COMPARED = 10_000  # images: of so many a disagreement of 3 % is known to within 0.4 points


@dataclass(frozen=True, slots=True)
class Stability:
    """How much the answers of the model have changed with the latest third of the labels."""

    n_labels: int
    disagreement: float  # 1 - macro-F1 of the answers before, as if those of now were the truth
    changed: float  # share of the images that get another answer

    @property
    def sentence(self) -> str:
        """Why labelling can stop for now."""
        return (
            f"Enough for now: the latest third of the {self.n_labels:,} labels changed only {self.changed:.1%} of the answers; "
            "as many again would hardly change the accuracy."
        )


class StabilityWatch:
    """Judges anew when the labels have changed; what it found last stands until then."""

    def __init__(self) -> None:
        self._found: Stability | None = None
        self._in_a_row: int | None = None  # of the last judgements, so many found the answers stable; None: there was none
        self._judged = np.empty(0, np.int64)  # rows and their labels, in one number, of then

    def enough(self, counts: np.ndarray) -> str | None:
        """Why the labels are enough for now, in a sentence; None if they are not. `counts` (n_classes,) are those of now.

        They are not while a class has fewer than FEW_LABELS of them, such as one that was just made.
        """
        found = self._found
        if found is None or (self._in_a_row or 0) < IN_A_ROW or not len(counts) or counts.min() < FEW_LABELS:
            return None
        return found.sentence

    def forget(self) -> None:
        """There is no model any more."""
        self._found, self._in_a_row, self._judged = None, None, np.empty(0, np.int64)

    def is_due(self, fit: LiveFit) -> bool:
        """Whether the labels of a fit differ so much from those that were judged last that they should be judged anew."""
        now, before = _pairs(fit), self._judged
        others = len(np.union1d(before, now)) - min(len(before), len(now))
        return others > 0 and others >= GROWN * len(before)

    def judge(self, model: LiveModel, fit: LiveFit, vectors: Features, answers: np.ndarray, order: np.ndarray) -> None:
        """Compares (n_all,) `answers`, -1 for none, with those of a model of two thirds of the labels.

        Labelled images are answered by fits that never saw them, as in `LiveFit.answers`. `vectors` are (n_all, n_features) of
        any float type; (n,) `order` tells which of the fit's labels came first, ties are broken at random. The labels left out
        are the latest third of each class, so that no class is missing where one was labelled after the other; images whose
        labels were kept are not compared, as a model repeats what it was told. More than MOST_COMPARED images are drawn from.

        That predictions settle is when labelling can stop is shown by Bloodgood and Vijay-Shanker (2009). They compare models
        by Cohen's kappa, which of two classes one of which is rare asks more than of ten. The F1 of classes is compared here,
        as by Altschuler and Bloodgood (2019). Unlike an accuracy on labels that were chosen, none of these asks how hard the
        labelled images are.
        """
        self._judged, self._found = _pairs(fit), _compared(model, fit, vectors, answers, order)
        if self._found is None or self._found.disagreement >= STABLE:
            self._in_a_row = 0
        else:  # where the studio is opened with many labels, nothing is known of before: the first judgement counts alone
            self._in_a_row = IN_A_ROW if self._in_a_row is None else self._in_a_row + 1


def _compared(model: LiveModel, fit: LiveFit, vectors: Features, answers: np.ndarray, order: np.ndarray) -> Stability | None:
    """What `judge` finds; None if there are too few labels, or no images to compare."""
    if len(fit.rows) < FEWEST:
        return None
    kept = earlier(fit.labels, order, fit.rows)
    others = np.setdiff1d(np.flatnonzero(answers >= 0), fit.rows[kept], assume_unique=True)
    if len(others) > MOST_COMPARED:
        others = np.sort(np.random.default_rng(0).choice(others, MOST_COMPARED, replace=False))
    if not len(others):
        return None
    head, now, before = model.head_of(vectors, fit, kept), answers[others], np.empty(len(others), np.int64)
    for start in range(0, len(others), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        before[part] = head.logits(vectors[others[part]].astype(np.float32)).argmax(axis=1)
    return Stability(len(fit.rows), disagreement(before, now), float((before != now).mean()))


def _pairs(fit: LiveFit) -> np.ndarray:
    """(n,) int64: a number for each row with its label."""
    return (fit.rows << 32) + fit.labels


def earlier(labels: np.ndarray, order: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n_kept,) numbers in order of the labels among (n,) that came first by (n,) `order`: EARLIER of each class, at least one.

    Ties are broken by a number that only depends on the row, so that the choice hardly changes when a label is added.
    """
    drawn = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # the product's upper bits, as in Fibonacci hashing
    sorted_ = np.lexsort((drawn, order, labels))
    sizes = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[sorted_] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.flatnonzero(rank < np.maximum(1, np.ceil(EARLIER * sizes))[labels])


def disagreement(before: np.ndarray, now: np.ndarray) -> float:
    """1 - the mean over classes of the F1 between two (n,) lists of answers, over the classes that either has."""
    n_classes = int(max(before.max(initial=0), now.max(initial=0))) + 1
    named = np.bincount(before, minlength=n_classes) + np.bincount(now, minlength=n_classes)
    both = np.bincount(now[before == now], minlength=n_classes)
    return 1 - float((2 * both[named > 0] / named[named > 0]).mean())
