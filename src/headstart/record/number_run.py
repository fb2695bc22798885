"""Writes the results of a run whose answers are numbers."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.artifact.csv_files import write_history, write_skipped
from headstart.artifact.manifest import NumbersEntry, installed_versions
from headstart.artifact.number_report import NumberReport, write_number_report
from headstart.artifact.number_words import numbers_sentence, numbers_story
from headstart.artifact.report import ReportFigure
from headstart.data.shown_paths import folder_of
from headstart.fitting.fitted import Fitted
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.progress import Progress
from headstart.record.decisions import Decisions
from headstart.record.extension import FLIPS, Extension, ExtensionReport, extension_of
from headstart.record.number_account import NumberAccount, farthest_off, number_account_of
from headstart.record.places import METRICS
from headstart.record.run_files import places_of, write_model
from headstart.record.run_folder import RunFolder
from headstart.record.run_metrics import BackboneName, NumberRunMetrics
from headstart.record.run_report import backbone_rows, changes_of
from headstart.record.tracked import CompleteRun, flat
from headstart.record.trained import Trained
from headstart.storage import write_csv, write_json
from headstart.tasks.one_number import Numbers

SHOWN_IMAGES = 5
TRACKED = ("mean_absolute_error", "mean_guess_error", "median_guess_error", "root_mean_squared_error", "r2", "bias")


def write_number_run(
    folder: RunFolder,
    fitted: Fitted,
    progress: Progress,
    *,
    pictures: bool = True,
    written: Callable[[CompleteRun], None] = lambda run: None,
) -> Trained:
    """Writes all files of the run folder, moves it to its place and returns the finished run, as `write_run` does."""
    began = time.perf_counter()
    root, account = folder.partial, number_account_of(fitted)
    reported = account.reported
    assert reported is not None  # a run has answers
    progress("writing the run", 0, 3)
    write_number_model(root / "model", fitted, account)
    write_number_predictions(root / "predictions.csv", fitted, account)
    write_history(root / "history.csv", fitted.history)
    write_skipped(root / "skipped.csv", fitted.dataset.skipped)
    extension = extension_of(fitted)
    if extension:
        extension.write(root / FLIPS)
    progress("writing the run", 1, 3)
    _report(root, fitted, account, _drawn(root / "figures", fitted, account) if pictures else (), extension)
    progress("writing the run", 2, 3)
    stages = fitted.scanned.seconds | {"fit": fitted.seconds, "report": time.perf_counter() - began}
    metrics = _metrics(folder, fitted, account, stages, extension.report if extension else None)
    write_json(root / METRICS, metrics.as_json())
    written(_complete(root, metrics, fitted.plan.as_json()))
    folder.finish(interrupted=fitted.interrupted)
    progress("writing the run", 3, 3)
    return Trained(
        Path(folder.named),
        reported,
        metrics.as_json(),
        metrics.notes,
        fitted.interrupted,
        fitted.scanned.work,
        metrics.extended.sentence() if metrics.extended else "",
    )


def write_number_model(folder: Path, fitted: Fitted, account: NumberAccount) -> None:
    """Writes the bundle and its model card."""
    task, decisions = fitted.task, account.decisions
    assert isinstance(task, Numbers)
    numbers = NumbersEntry(
        mean=task.mean,
        spread=task.spread,
        seen=account.seen,
        evaluation=account.reported,
        intervals=decisions.intervals,
        intervals_promised=decisions.promised,
    )
    write_model(folder, fitted, None, Decisions(set_on=decisions.set_on, split=decisions.split), account.limits, numbers)


def write_number_predictions(file: Path, fitted: Fitted, account: NumberAccount) -> None:
    """predictions.csv: path, label, predicted, low and high, the ends of the interval."""
    answers, dataset = fitted.answers[0], fitted.dataset
    numbers, intervals = answers.probabilities[:, 0], account.decisions.intervals
    ends: Sequence[Sequence[Any]] = [("", "")] * len(numbers) if intervals is None else intervals.around(numbers).tolist()
    rows = (
        [dataset.images[i].path, dataset.images[i].label, number, *of_row]
        for i, number, of_row in zip(answers.indices, numbers.tolist(), ends, strict=True)
    )
    write_csv(file, ["path", "label", "predicted", "low", "high"], rows)


def _drawn(folder: Path, fitted: Fitted, account: NumberAccount) -> Sequence[ReportFigure]:
    from headstart.record.number_figures import draw_number_figures  # this imports Matplotlib

    return tuple(draw_number_figures(folder, fitted, account))


def _report(
    root: Path, fitted: Fitted, account: NumberAccount, figures: Sequence[ReportFigure], extension: Extension | None
) -> None:
    dataset, answers, model, reported = fitted.dataset, fitted.answers[0], fitted.model, account.reported
    assert reported is not None
    folder = folder_of(dataset)
    farthest = [dataset.images[answers.indices[i]].path for i in farthest_off(answers, dataset.labels)[:SHOWN_IMAGES]]
    shown = {name: value for name, value in fitted.plan.as_json().items() if name != "held_out_log_loss"}
    named = [path.removeprefix(folder) for path in farthest]
    story = numbers_story(reported, account.decisions.intervals, fitted.settings.strategy, account.doubts, named)
    write_number_report(
        root / "report.html",
        NumberReport(
            name=dataset.name,
            number=dataset.number,
            strategy=fitted.settings.strategy,
            backbone=model.spec.name,
            counts=fitted.image_counts(),
            evaluation=reported,
            story=story,
            notes=account.remarks,
            figures=tuple(figures),
            changes=changes_of(extension, fitted.task, folder) if extension else None,
            skipped=tuple((entry.path.removeprefix(folder), entry.reason) for entry in dataset.skipped),
            tables=(
                ("Training plan with all values resolved", tuple(shown.items())),
                ("Settings as given", tuple(fitted.settings.as_json().items())),
                ("Preprocessing", tuple(model.preprocess.as_json().items())),
                ("Numbers of the training images", tuple(account.seen.as_json().items())),
                ("Backbone", backbone_rows(fitted)),
                ("Versions", tuple(installed_versions().items())),
            ),
        ),
    )


def _metrics(
    folder: RunFolder,
    fitted: Fitted,
    account: NumberAccount,
    stages: dict[str, float],
    extended: ExtensionReport | None,
) -> NumberRunMetrics:
    settings, dataset, reported = fitted.settings, fitted.dataset, account.reported
    assert settings.strategy != "auto" and reported is not None  # the one has been resolved, the other is there
    return NumberRunMetrics(
        strategy=settings.strategy,
        requested=fitted.scanned.settings.strategy,
        choice=fitted.choice,
        recipe=settings.recipe,
        backbone=BackboneName(name=fitted.model.spec.name, weights_sha256=fitted.scanned.backbone.weights.sha256),
        classes=dataset.classes,
        number=dataset.number,
        images=fitted.image_counts() | {"skipped": len(dataset.skipped)},
        views=fitted.scanned.views,
        evaluation=reported,
        without_leaks=account.without_leaks,
        other_evaluations=account.evaluations[1:],
        seen=account.seen,
        intervals=account.decisions.intervals,
        intervals_set_on=account.decisions.set_on,
        intervals_promised=account.decisions.promised,
        best_epoch=fitted.best_epoch,
        refit=fitted.refit,
        working_folder=Path.cwd().as_posix(),
        data=places_of(folder, fitted),
        extended=extended,
        notes=(*account.doubts, *account.remarks),
        seconds={"total": round(seconds_since_start(), 3)} | {stage: round(value, 3) for stage, value in stages.items()},
        peak_rss_mb=round(peak_rss_mb(), 1),
        interrupted=fitted.interrupted,
        run=folder.named,
        model=f"{folder.named}/model",
    )


def _complete(folder: Path, metrics: NumberRunMetrics, plan: dict[str, Any]) -> CompleteRun:
    """What trackers record of the run in the end."""
    numbers = dict(_tracked(metrics)) | {f"images/{split}": float(count) for split, count in metrics.images.items()}
    numbers |= {f"seconds_for/{stage}": seconds for stage, seconds in metrics.seconds.items()}
    numbers |= {"peak_rss_mb": metrics.peak_rss_mb, "best_epoch": float(metrics.best_epoch)}
    resolved = flat(plan, "plan/")
    summary = numbers_sentence(metrics.evaluation)
    return CompleteRun(folder, summary, numbers, resolved, metrics.best_epoch, metrics.interrupted)


def _tracked(metrics: NumberRunMetrics) -> Iterator[tuple[str, float]]:
    for name in TRACKED:
        value = getattr(metrics.evaluation.numbers, name)
        if value is not None:
            yield f"evaluation/{name}", float(np.float64(value))
    if metrics.evaluation.intervals is not None:
        yield "evaluation/coverage", metrics.evaluation.intervals.coverage
