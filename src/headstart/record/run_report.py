"""The report of a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.artifact.manifest import installed_versions
from headstart.artifact.report import ReportChanges, ReportFacts, ReportFigure, write_report
from headstart.artifact.story import StoryFacts, tell
from headstart.data.dataset import Dataset
from headstart.data.shown_paths import folder_of
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.fitting.view_choice import ViewChoice
from headstart.record.account import Account
from headstart.record.extension import Extension
from headstart.tasks.task import LearningTask

SHOWN_CHANGES = 50


def report_run(
    root: Path, fitted: Fitted, account: Account, figures: Sequence[ReportFigure], extension: Extension | None = None
) -> None:
    """Writes report.html in the run folder."""
    dataset, answers = fitted.dataset, fitted.answers[0]
    folder = folder_of(dataset)
    mistakes = [dataset.images[answers.indices[i]].path for i in surest_mistakes(answers, dataset, fitted.task)]
    story = tell(
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
    model = fitted.model
    shown = {name: value for name, value in fitted.plan.as_json().items() if name != "held_out_log_loss"}
    write_report(
        root / "report.html",
        ReportFacts(
            name=dataset.name,
            strategy=fitted.settings.strategy,
            recipe=fitted.settings.recipe,
            backbone=model.spec.name,
            classes=dataset.classes,
            counts=fitted.image_counts(),
            class_counts=fitted.class_counts(),
            evaluation=account.reported,
            story=story,
            notes=account.remarks,
            figures=tuple(figures),
            thresholds=fitted.thresholds,
            changes=changes_of(extension, fitted.task, folder) if extension else None,
            skipped=tuple(replace(entry, path=entry.path.removeprefix(folder)) for entry in dataset.skipped),
            tables=(
                ("Training plan with all values resolved", tuple(shown.items())),
                ("Settings as given", tuple(fitted.settings.as_json().items())),
                ("Preprocessing", tuple(model.preprocess.as_json().items())),
                *([("Views compared on training images", _compared(views))] if (views := fitted.scanned.views).trials else []),
                ("Backbone", backbone_rows(fitted)),
                ("Versions", tuple(installed_versions().items())),
            ),
        ),
    )


def backbone_rows(fitted: Fitted) -> tuple[tuple[str, str], ...]:
    """What is known of the pretrained network."""
    spec, weights = fitted.model.spec, fitted.scanned.backbone.weights
    return ("name", spec.name), ("weights", weights.origin), ("weights SHA-256", weights.sha256), ("licence", spec.licence)


def changes_of(extension: Extension, task: LearningTask, folder: str) -> ReportChanges:
    """What adding to a finished run changed; the paths without the `folder` of all."""
    shown = [replace(change, path=change.path.removeprefix(folder)) for change in extension.changes[:SHOWN_CHANGES]]
    cells = tuple(change.cells(task.in_words) for change in shown)
    return ReportChanges(f"This run {extension.report.sentence()}.", extension.kind.HEADING, cells, len(extension.changes))


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


def surest_mistakes(answers: SplitAnswers, dataset: Dataset, task: LearningTask) -> list[int]:
    """The indices of the wrong answers, most confident first."""
    confidence = task.confidence(answers.probabilities)
    right = task.are_right(answers.decisions(task), dataset.labels[answers.indices])
    return [i for i in np.argsort(-confidence, kind="stable").tolist() if not right[i]]
