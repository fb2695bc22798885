"""RunRecord: what the files of a run say, where that differs from one kind of answers to another."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from headstart.artifact.manifest import NumbersEntry
from headstart.artifact.report import ReportFigure
from headstart.artifact.story import Story
from headstart.evaluation.metrics import Evaluation
from headstart.fitting.fitted import Fitted
from headstart.record.account import Account
from headstart.record.decisions import Decisions
from headstart.record.number_account import NumberAccount
from headstart.record.run_metrics import AnyRunMetrics

AnyAccount = TypeVar("AnyAccount", Account, NumberAccount)
Table = tuple[str, tuple[tuple[str, Any], ...]]  # of the report: its title, and rows of key and value


@dataclass(frozen=True, slots=True)
class Measured:
    """What the manifest says of how good a model is, and of when it answers how."""

    evaluation: Evaluation | None  # None if no images were held out, and where answers are numbers
    decisions: Decisions
    numbers: NumbersEntry | None = None  # None where answers are classes


@dataclass(frozen=True, slots=True)
class RunRecord(ABC, Generic[AnyAccount]):
    """A fitted run and its account, as its files tell them. All but `measured` needs answers, which every run has."""

    fitted: Fitted
    account: AnyAccount

    @abstractmethod
    def measured(self) -> Measured:
        """What the manifest says."""

    @abstractmethod
    def write_predictions(self, file: Path) -> None:
        """Writes predictions.csv: path, label, predicted, and how sure that is."""

    @abstractmethod
    def draw(self, folder: Path) -> Iterator[ReportFigure]:
        """Draws what the report shows into a folder, one after the other."""

    @abstractmethod
    def story(self, folder: str) -> Story:
        """What the numbers mean, in sentences; paths are named without the `folder` of all."""

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """What the report lists besides what it lists of every run."""

    @abstractmethod
    def metrics(self, common: Mapping[str, Any]) -> AnyRunMetrics:
        """The content of metrics.json, with what is `common` to all runs."""
