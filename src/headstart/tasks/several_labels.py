"""Any number of labels an image, each said or not by its own threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.data.label_sets import HAS, NOT_KNOWN, LabelSet, in_words
from headstart.settings import TaskName
from headstart.tasks.probabilities import as_log_odds, binary_cross_entropies, sigmoid
from headstart.tasks.task import LearningTask, Link

HALF = 0.5  # the threshold of a label for which none was chosen


@dataclass(frozen=True, slots=True)
class SeveralLabels(LearningTask):
    """The answer is every label of at least its threshold's probability; that can be none.

    Labels are (n, n_labels) int8, as data/label_sets.py has them. An answer is right if it is for every label that is known.
    """

    thresholds: tuple[float, ...] = ()  # of the labels, in their order; empty: HALF each

    @property
    def name(self) -> TaskName:
        return "multi-label"

    @property
    def has_one_answer(self) -> bool:
        return False

    @property
    def link(self) -> Link:
        return "sigmoid"

    def with_thresholds(self, thresholds: Sequence[float]) -> "SeveralLabels":
        return replace(self, thresholds=tuple(thresholds))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(logits)

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return as_log_odds(probabilities)

    def choices(self, logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, 2) logits of lacking and of having a label, for each that is known of an image; (m,) int64 which holds."""
        known = labels != NOT_KNOWN
        halves = logits[known] / 2
        return np.column_stack([-halves, halves]), (labels[known] == HAS).astype(np.int64)

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n,) nats: the mean cross-entropy of the labels that are known; 0 where none is."""
        known = (labels != NOT_KNOWN) & np.isfinite(logits)
        losses = np.where(known, binary_cross_entropies(logits, labels == HAS), 0.0)
        return np.asarray(losses.sum(axis=1) / np.maximum(known.sum(axis=1), 1))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, n_labels) bool: which labels are said of each image."""
        return np.asarray(probabilities >= self._thresholds(probabilities))

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) float64: the probability of the least certain label that is said, or of the least certain silence."""
        said = self.decide(probabilities)
        return np.asarray(np.where(said, probabilities, 1 - probabilities).min(axis=1))

    def are_right(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.asarray(((answers == (labels == HAS)) | (labels == NOT_KNOWN)).all(axis=-1))

    def right(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n,) bool; labels without a probability, as those of too few images have none held out, do not count."""
        return self.are_right(self.decide(probabilities), np.where(np.isfinite(probabilities), labels, NOT_KNOWN))

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """For each row the labels of at least `min_probability`, the most probable first."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [row[of_row[row] >= min_probability] for row, of_row in zip(order, probabilities, strict=True)]

    def held_by(self, members: np.ndarray, label: Any) -> float:
        return float(np.isin(np.flatnonzero(label == HAS), members).mean()) if (label == HAS).any() else 1.0

    def judged(self, probabilities: np.ndarray, labels: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Every image has an answer."""
        return np.ones(len(probabilities), bool), self.right(probabilities, labels)

    def answer(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float) -> tuple[str, float]:
        """The labels as the text of a LabelSet; those below `min_confidence` are not said, whatever their thresholds."""
        said = self.said(classes, probabilities, min_confidence)
        return LabelSet(frozenset(said)).text, float(self.confidence(probabilities[None])[0])

    def said(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float = 0.0) -> tuple[str, ...]:
        """The labels that are said of an image with (n_labels,) probabilities, the most probable first."""
        enough = self.decide(probabilities[None])[0] & (probabilities >= min_confidence)
        return tuple(classes[i] for i in np.argsort(-probabilities, kind="stable") if enough[i])

    def one_by_one(self, probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = (labels != NOT_KNOWN) & np.isfinite(probabilities)
        of_label = probabilities[known]
        return np.column_stack([1 - of_label, of_label]), (labels[known] == HAS).astype(np.int64)

    def named(self, classes: Sequence[str], answer: Any) -> str:
        return LabelSet(frozenset(name for name, said in zip(classes, answer, strict=True) if said)).text

    def agree(self, truth: str, answer: str) -> bool:
        known = LabelSet.of(truth)
        return known.labels == LabelSet.of(answer).labels - known.unknown

    def names_in(self, answer: str) -> frozenset[str]:
        return LabelSet.of(answer).labels

    def in_words(self, text: str) -> str:
        return in_words(text)

    def is_unsure(self, probability: float, min_confidence: float) -> bool:
        return False

    def _thresholds(self, probabilities: np.ndarray) -> np.ndarray:
        return np.array(self.thresholds or (HALF,) * probabilities.shape[-1])
