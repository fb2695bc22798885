"""LearningTask: what labels and answers are, where that differs from one kind of answer to another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from headstart.settings import TaskName
from headstart.tasks.probabilities import as_logits, cross_entropies, softmax

# What makes answers of the outputs of the network: probabilities that sum to 1, one for each label, or the outputs themselves.
Link = Literal["softmax", "sigmoid", "identity"]


class LearningTask(ABC):
    """A kind of answer, made of the (n, n_classes) logits of the network. Here it is one class of several.

    Labels are what `Dataset.labels` has for the task, here (n,) int64.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> TaskName:
        """As --task names it."""

    def in_order(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes of the data in the order that answers have them. Raises DataError."""
        return tuple(classes)

    def knowing(self, classes: Sequence[str]) -> "LearningTask":
        """The task with these classes, which are in order."""
        return self

    @property
    def has_one_answer(self) -> bool:
        """Whether an answer is one class."""
        return True

    @property
    def link(self) -> Link:
        """What makes answers of the network's outputs, on a scale of 0 and 1 (see `unit`)."""
        return "softmax"

    def with_thresholds(self, thresholds: Sequence[float]) -> "LearningTask":
        """The task with the thresholds that were chosen for its classes, where it has any."""
        return self

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(n, n_classes) logits -> float64 probabilities."""
        return softmax(logits)

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Logits that `probabilities` turns into these."""
        return as_logits(probabilities)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What training compares the network's outputs with."""
        return labels

    def choices(self, logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, n_classes) logits and (m,) int64 labels of choices between classes; here one for each image."""
        return logits, labels

    def losses(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n,) nats: the cross-entropy of each row of (n, n_classes) logits for its label."""
        return cross_entropies(logits, labels)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, n_classes) probabilities -> (n,) int64: the class that is the answer to each image; the most probable one."""
        return np.asarray(probabilities.argmax(axis=1))

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) float64: the probability of that class."""
        return np.asarray(probabilities[np.arange(len(probabilities)), self.decide(probabilities)])

    def are_right(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(..., n) bool: whether (..., n) answers, as `decide` gives them, are right of (n,) labels."""
        return np.asarray(answers == labels)

    def right(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(n,) bool: whether the answers that (n, n_classes) probabilities give are right."""
        return self.are_right(self.decide(probabilities), labels)

    def one_by_one(self, probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of probabilities."""
        return probabilities, labels

    def sets(self, probabilities: np.ndarray, min_probability: float) -> list[np.ndarray]:
        """For each row the classes that cannot be ruled out: all of at least `min_probability`, and the answer."""
        found = []
        for row in probabilities:
            order = np.argsort(-row, kind="stable")  # the most probable one comes first
            kept = row[order] >= min_probability
            kept[0] = True
            found.append(order[kept])
        return found

    def held_by(self, members: np.ndarray, label: Any) -> float:
        """Whether the classes of a set hold the label of an image; of several labels their share."""
        return float(label in members)

    def judged(self, probabilities: np.ndarray, labels: np.ndarray, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool twice: which images get an answer that is not "unsure", and whether the answer to each is right."""
        return self.confidence(probabilities) >= min_confidence, self.right(probabilities, labels)

    def answer(self, classes: Sequence[str], probabilities: np.ndarray, min_confidence: float) -> tuple[str, float]:
        """What is said of an image with (n_classes,) probabilities, and its probability: unsure if that is too low."""
        number = int(self.decide(probabilities[None])[0])
        return classes[number], float(probabilities[number])

    def named(self, classes: Sequence[str], answer: Any) -> str:
        """An answer to an image, as `decide` gives it, in the text of labels."""
        return classes[int(answer)]

    def agree(self, truth: str, answer: str) -> bool:
        """Whether an answer is right of an image with this label, both as text."""
        return truth == answer

    def names_in(self, answer: str) -> frozenset[str]:
        """The classes that an answer names."""
        return frozenset({answer})

    def alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(n,) bool: whether two (n, n_classes) probabilities give the same answers."""
        same = np.asarray(self.decide(one) == self.decide(other))
        return same if same.ndim == 1 else np.asarray(same.all(axis=1))

    @property
    def unit(self) -> float:
        """What differences between probabilities are counted in."""
        return 1.0

    def in_words(self, text: str) -> str:
        """A label or an answer as people read it."""
        return text

    def is_unsure(self, probability: float, min_confidence: float) -> bool:
        """Whether an answer of this probability is "unsure"."""
        return probability < min_confidence
