"""What the files of a run say whose answers are numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.manifest import NumbersEntry
from headstart.artifact.number_words import numbers_story
from headstart.artifact.report import ReportFigure
from headstart.artifact.story import Story
from headstart.fitting.fitted import Fitted
from headstart.record.decisions import Decisions
from headstart.record.number_account import NumberAccount, farthest_off, number_account_of
from headstart.record.run_metrics import NumberRunMetrics
from headstart.record.run_record import Measured, RunRecord, Table
from headstart.storage import write_csv
from headstart.tasks.one_number import Numbers

SHOWN_IMAGES = 5


@dataclass(frozen=True, slots=True)
class NumberRecord(RunRecord[NumberAccount]):
    """The record of numbers."""

    @classmethod
    def of(cls, fitted: Fitted) -> "NumberRecord":
        """The record of a fit."""
        return cls(fitted, number_account_of(fitted))

    def measured(self) -> Measured:
        task, account = self.fitted.task, self.account
        assert isinstance(task, Numbers)
        numbers = NumbersEntry(
            mean=task.mean,
            spread=task.spread,
            seen=account.seen,
            evaluation=next(iter(account.evaluations), None),
            intervals=account.decisions.intervals,
            intervals_promised=account.decisions.promised,
        )
        return Measured(None, Decisions(set_on=account.decisions.set_on, split=account.decisions.split), numbers)

    def write_predictions(self, file: Path) -> None:
        """The ends of the interval around the answer."""
        answers, dataset = self.fitted.answers[0], self.fitted.dataset
        numbers, intervals = answers.probabilities[:, 0], self.account.decisions.intervals
        ends: Sequence[Sequence[Any]] = [("", "")] * len(numbers) if intervals is None else intervals.around(numbers).tolist()
        rows = (
            [dataset.images[i].path, dataset.images[i].label, number, *of_row]
            for i, number, of_row in zip(answers.indices, numbers.tolist(), ends, strict=True)
        )
        write_csv(file, ["path", "label", "predicted", "low", "high"], rows)

    def draw(self, folder: Path) -> Iterator[ReportFigure]:
        from headstart.record.number_figures import draw_number_figures  # this imports Matplotlib

        yield from draw_number_figures(folder, self.fitted, self.account)

    def story(self, folder: str) -> Story:
        fitted, account = self.fitted, self.account
        dataset, answers = fitted.dataset, fitted.answers[0]
        farthest = [dataset.images[answers.indices[i]].path for i in farthest_off(answers, dataset.labels)[:SHOWN_IMAGES]]
        named = [path.removeprefix(folder) for path in farthest]
        return numbers_story(account.reported, account.decisions.intervals, fitted.settings.strategy, account.doubts, named)

    def tables(self) -> tuple[Table, ...]:
        return (("Numbers of the training images", tuple(self.account.seen.as_json().items())),)

    def metrics(self, common: Mapping[str, Any]) -> NumberRunMetrics:
        decisions = self.account.decisions
        return NumberRunMetrics(
            **common,
            number=self.fitted.dataset.number,
            seen=self.account.seen,
            intervals=decisions.intervals,
            intervals_set_on=decisions.set_on,
            intervals_promised=decisions.promised,
        )
