"""An evaluation in words, whatever kind of answers it is of: for reports, the command line and trackers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headstart.artifact.number_words import numbers_sentence, numbers_table
from headstart.artifact.numbers import number_rows, summary_sentence, uneven_sentence
from headstart.evaluation.judging import AnyEvaluation
from headstart.evaluation.metrics import ClassMetrics, Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.evaluation.set_metrics import LabelMetrics


class EvaluationWords(ABC):
    """What is said of an evaluation."""

    @abstractmethod
    def sentence(self, n_trained_on: int = 0) -> str:
        """The claim in one sentence; `n_trained_on` of the images were trained on."""

    @abstractmethod
    def table(self) -> Sequence[tuple[str, str, str, str]]:
        """(name, value, 95 % interval, meaning)."""

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """What the command line says below the sentence."""

    @property
    def uneven(self) -> str:
        """What to look at besides the accuracy if classes are uneven; "" where there are none."""
        return ""

    @property
    def per_class(self) -> tuple[ClassMetrics, ...]:
        """The metrics of each class, where there are any."""
        return ()

    @property
    def per_label(self) -> tuple[LabelMetrics, ...]:
        """What only several labels have, label by label."""
        return ()


@dataclass(frozen=True, slots=True)
class WordsOfClasses(EvaluationWords):
    """The words where answers are classes."""

    evaluation: Evaluation

    def sentence(self, n_trained_on: int = 0) -> str:
        return summary_sentence(self.evaluation, n_trained_on)

    def table(self) -> Sequence[tuple[str, str, str, str]]:
        return number_rows(self.evaluation)

    def lines(self) -> Iterator[str]:
        found = self.evaluation
        if found.is_uneven:
            yield self.uneven
        yield f"macro-F1 {found.macro_f1:.3f}   log loss {found.log_loss:.3f}   ECE {found.ece:.3f}"
        width = max(len("class"), *(len(c.name) for c in found.per_class))
        yield f"{'class':<{width}}  images  {'  '.join(f'{name:>9}' for name in ('precision', 'recall', 'F1'))}"
        for c in found.per_class:
            figures = ("–" if value is None else f"{value:.3f}" for value in (c.precision, c.recall, c.f1))
            yield f"{c.name:<{width}}  {c.n:>6}  {'  '.join(f'{figure:>9}' for figure in figures)}"

    @property
    def uneven(self) -> str:
        return uneven_sentence(self.evaluation)

    @property
    def per_class(self) -> tuple[ClassMetrics, ...]:
        return self.evaluation.per_class

    @property
    def per_label(self) -> tuple[LabelMetrics, ...]:
        return self.evaluation.label_sets.per_label if self.evaluation.label_sets else ()


@dataclass(frozen=True, slots=True)
class WordsOfNumbers(EvaluationWords):
    """The words where answers are numbers."""

    evaluation: NumberEvaluation

    def sentence(self, n_trained_on: int = 0) -> str:
        return numbers_sentence(self.evaluation, n_trained_on)

    def table(self) -> Sequence[tuple[str, str, str, str]]:
        return numbers_table(self.evaluation)

    def lines(self) -> Iterator[str]:
        yield from (f"{name:<24}  {value:>9}  {interval}" for name, value, interval, _ in self.table())


def words_of(evaluation: AnyEvaluation) -> EvaluationWords:
    """What is said of an evaluation."""
    return WordsOfNumbers(evaluation) if isinstance(evaluation, NumberEvaluation) else WordsOfClasses(evaluation)
