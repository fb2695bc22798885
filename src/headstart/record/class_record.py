"""What the files of a run say whose answers are classes, or several labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.artifact.csv_files import write_predictions
from headstart.artifact.report import ReportFigure
from headstart.artifact.story import Story, StoryFacts, tell
from headstart.fitting.fitted import Fitted
from headstart.fitting.view_choice import ViewChoice
from headstart.record.account import Account, account_of, surest_mistakes
from headstart.record.run_metrics import RunMetrics
from headstart.record.run_record import Measured, RunRecord, Table


@dataclass(frozen=True, slots=True)
class ClassRecord(RunRecord[Account]):
    """The record of classes."""

    @classmethod
    def of(cls, fitted: Fitted) -> "ClassRecord":
        """The record of a fit."""
        return cls(fitted, account_of(fitted))

    def measured(self) -> Measured:
        return Measured(next(iter(self.account.evaluations), None), self.account.decisions)

    def write_predictions(self, file: Path) -> None:
        """The probability of the answer, and of each class."""
        fitted, answers = self.fitted, self.fitted.answers[0]
        images = [fitted.dataset.images[i] for i in answers.indices]
        paths, labels = [image.path for image in images], [image.label for image in images]
        write_predictions(file, paths, labels, answers.probabilities, fitted.dataset.classes, fitted.task, answers.decided)

    def draw(self, folder: Path) -> Iterator[ReportFigure]:
        from headstart.record.run_figures import draw_figures  # this imports Matplotlib

        yield from draw_figures(folder, self.fitted, self.account)

    def story(self, folder: str) -> Story:
        fitted, account = self.fitted, self.account
        dataset, answers = fitted.dataset, fitted.answers[0]
        mistakes = [dataset.images[answers.indices[i]].path for i in surest_mistakes(answers, dataset, fitted.task)]
        return tell(
            StoryFacts(
                account.reported,
                account.without_leaks,
                account.calibration,
                fitted.cross_validation,
                fitted.curve,
                account.doubts,
                tuple(path.removeprefix(folder) for path in mistakes),
                dataset.class_counts(fitted.split.train),
            )
        )

    def tables(self) -> tuple[Table, ...]:
        views = self.fitted.scanned.views
        return (("Views compared on training images", _compared(views)),) if views.trials else ()

    def metrics(self, common: Mapping[str, Any]) -> RunMetrics:
        fitted, account = self.fitted, self.account
        return RunMetrics(
            **common,
            calibration=account.calibration,
            learning_curve=fitted.curve,
            decisions=account.decisions.report(fitted.answers[0], fitted.dataset.labels, fitted.task),
        )


def _compared(views: ViewChoice) -> tuple[tuple[str, str], ...]:
    """(view, what was measured) of each candidate."""
    return tuple(
        (
            trial.view,
            f"log loss {trial.log_loss:.4f} on {views.n_images} held-out images; {trial.worse:+.4f} (standard error "
            f"{trial.worse_se:.4f}) beside the chosen one; passes through the network: {trial.n_views}",
        )
        for trial in views.trials
    )
