"""The report of a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.artifact.manifest import installed_versions
from headstart.artifact.report import ReportChanges, ReportFacts, ReportFigure, write_report
from headstart.data.shown_paths import folder_of
from headstart.fitting.fitted import Fitted
from headstart.record.extension import Extension
from headstart.record.run_record import RunRecord
from headstart.tasks.task import LearningTask

SHOWN_CHANGES = 50


def report_run(root: Path, record: RunRecord[Any], figures: Sequence[ReportFigure], extension: Extension | None = None) -> None:
    """Writes report.html in the run folder."""
    fitted, account = record.fitted, record.account
    dataset, model = fitted.dataset, fitted.model
    folder = folder_of(dataset)
    shown = {name: value for name, value in fitted.plan.as_json().items() if name != "held_out_log_loss"}
    write_report(
        root / "report.html",
        ReportFacts(
            name=dataset.name,
            number=dataset.number,
            strategy=fitted.settings.strategy,
            recipe=fitted.settings.recipe,
            backbone=model.spec.name,
            classes=dataset.classes,
            counts=fitted.image_counts(),
            class_counts=fitted.class_counts(),
            evaluation=account.reported,
            story=record.story(folder),
            notes=account.remarks,
            figures=tuple(figures),
            thresholds=fitted.thresholds,
            changes=_changes(extension, fitted.task, folder) if extension else None,
            skipped=tuple(replace(entry, path=entry.path.removeprefix(folder)) for entry in dataset.skipped),
            tables=(
                ("Training plan with all values resolved", tuple(shown.items())),
                ("Settings as given", tuple(fitted.settings.as_json().items())),
                ("Preprocessing", tuple(model.preprocess.as_json().items())),
                *record.tables(),
                ("Backbone", _backbone_rows(fitted)),
                ("Versions", tuple(installed_versions().items())),
            ),
        ),
    )


def _backbone_rows(fitted: Fitted) -> tuple[tuple[str, str], ...]:
    """What is known of the pretrained network."""
    spec, weights = fitted.model.spec, fitted.scanned.backbone.weights
    return ("name", spec.name), ("weights", weights.origin), ("weights SHA-256", weights.sha256), ("licence", spec.licence)


def _changes(extension: Extension, task: LearningTask, folder: str) -> ReportChanges:
    """What adding to a finished run changed; the paths without the `folder` of all."""
    shown = [replace(change, path=change.path.removeprefix(folder)) for change in extension.changes[:SHOWN_CHANGES]]
    cells = tuple(change.cells(task.in_words) for change in shown)
    return ReportChanges(f"This run {extension.report.sentence()}.", extension.kind.HEADING, cells, len(extension.changes))
