"""Writes the results of a run: the bundle, the tables, the figures and the report."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.artifact.bundle import FAMILIARITY, WEIGHTS
from headstart.artifact.card import write_card
from headstart.artifact.csv_files import write_history, write_skipped
from headstart.artifact.manifest import (
    BackboneEntry,
    DataEntry,
    DecisionsEntry,
    ExtendsEntry,
    FamiliarityEntry,
    new_manifest,
    save_manifest,
)
from headstart.fitting.earlier import DataPlace
from headstart.fitting.fitted import Fitted
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.familiarity import FALSE_ALARMS
from headstart.progress import Progress
from headstart.record.class_record import ClassRecord
from headstart.record.extension import FLIPS, ExtensionReport, extension_of
from headstart.record.number_record import NumberRecord
from headstart.record.places import METRICS, place_of
from headstart.record.run_folder import RunFolder
from headstart.record.run_metrics import AnyRunMetrics, BackboneName
from headstart.record.run_record import RunRecord
from headstart.record.run_report import report_run
from headstart.record.tracked import CompleteRun, complete_run
from headstart.record.trained import Trained
from headstart.settings import RecordedSettings
from headstart.storage import sha256_of_file, write_json


def record_of(fitted: Fitted) -> RunRecord[Any]:
    """The record of a fit, by the kind of its answers."""
    return NumberRecord.of(fitted) if fitted.dataset.number else ClassRecord.of(fitted)


def write_run(
    folder: RunFolder,
    fitted: Fitted,
    progress: Progress,
    *,
    pictures: bool = True,
    written: Callable[[CompleteRun], None] = lambda run: None,
) -> Trained:
    """Writes all files of the run folder, moves it to its place and returns the finished run.

    `written` is called when all files are there, before the folder is moved.
    """
    began = time.perf_counter()
    record, root = record_of(fitted), folder.partial
    progress("writing the run", 0, 3)
    write_model(root / "model", record)
    record.write_predictions(root / "predictions.csv")
    write_history(root / "history.csv", fitted.history)
    write_skipped(root / "skipped.csv", fitted.dataset.skipped)
    extension = extension_of(fitted)
    if extension:
        extension.write(root / FLIPS)
    progress("writing the run", 1, 3)
    report_run(root, record, tuple(record.draw(root / "figures")) if pictures else (), extension)
    progress("writing the run", 2, 3)
    stages = fitted.scanned.seconds | {"fit": fitted.seconds, "report": time.perf_counter() - began}
    metrics = _metrics(folder, record, stages, extension.report if extension else None)
    write_json(root / METRICS, metrics.as_json())
    written(complete_run(root, metrics, fitted.plan.as_json(), fitted.history))
    folder.finish(interrupted=fitted.interrupted)
    progress("writing the run", 3, 3)
    return Trained(
        Path(folder.named),
        metrics.evaluation,
        metrics.as_json(),
        metrics.notes,
        fitted.interrupted,
        fitted.scanned.work,
        metrics.extended.sentence() if metrics.extended else "",
    )


def _metrics(
    folder: RunFolder, record: RunRecord[Any], stages: dict[str, float], extended: ExtensionReport | None
) -> AnyRunMetrics:
    fitted, account = record.fitted, record.account
    settings, dataset = fitted.settings, fitted.dataset
    assert settings.strategy != "auto"  # it has been resolved
    return record.metrics(
        {
            "strategy": settings.strategy,
            "requested": fitted.scanned.settings.strategy,
            "choice": fitted.choice,
            "recipe": settings.recipe,
            "backbone": BackboneName(name=fitted.model.spec.name, weights_sha256=fitted.scanned.backbone.weights.sha256),
            "classes": dataset.classes,
            "images": fitted.image_counts() | {"skipped": len(dataset.skipped)},
            "labels": dataset.labels_used,
            "views": fitted.scanned.views,
            "evaluation": account.reported,
            "without_leaks": account.without_leaks,
            "other_evaluations": account.evaluations[1:],
            "cross_validation": fitted.cross_validation,
            "best_epoch": fitted.best_epoch,
            "refit": fitted.refit,
            "working_folder": Path.cwd().as_posix(),
            "data": _places_of(folder, fitted),
            "extended": extended,
            "notes": (*account.doubts, *account.remarks),
            "seconds": {"total": round(seconds_since_start(), 3)} | {stage: round(s, 3) for stage, s in stages.items()},
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "interrupted": fitted.interrupted,
            "run": folder.named,
            "model": f"{folder.named}/model",
        }
    )


def _places_of(folder: RunFolder, fitted: Fitted) -> tuple[DataPlace, ...]:
    """Where the images were: DATA, and what had the images of a run that is extended."""
    settings, extended = folder.state.settings, fitted.scanned.extended
    own = DataPlace(place=place_of(folder.state.data), path_column=settings.path_column, label_column=settings.label_column)
    before = extended.earlier.places if extended else ()
    return (own, *(place for place in before if place.place != own.place))


def _data_entry(fitted: Fitted) -> DataEntry:
    dataset = fitted.dataset
    return DataEntry(name=dataset.name, counts=fitted.class_counts(), skipped=len(dataset.skipped), labels=dataset.labels_used)


def _images_of(fitted: Fitted) -> dict[str, Any]:
    """What the manifest says of each image: its digest and its class, or its labels."""
    dataset = fitted.dataset
    splits = {name: rows.tolist() for name, rows in fitted.split.as_dict().items() if rows.size}
    entries: dict[str, Any] = {"images": {name: tuple(dataset.images[i].sha256 for i in rows) for name, rows in splits.items()}}
    if fitted.task.has_one_answer and not dataset.number:
        of_images = {name: tuple(dataset.labels[rows].tolist()) for name, rows in splits.items()}
        return entries | {"image_classes": of_images}
    return entries | {"image_labels": {name: tuple(dataset.images[i].label for i in rows) for name, rows in splits.items()}}


def _extends(fitted: Fitted) -> ExtendsEntry | None:
    extended = fitted.scanned.extended
    if extended is None:
        return None
    earlier = extended.earlier
    added = earlier.unsaid | set(extended.growth.classes_added) if fitted.dataset.several else frozenset()
    return ExtendsEntry(
        manifest_sha256=earlier.manifest_sha256,
        weights_sha256=earlier.weights_sha256,
        images=extended.growth.kept,
        added_labels=tuple(name for name in fitted.dataset.classes if name in added),
    )


def write_model(folder: Path, record: RunRecord[Any]) -> None:
    """Writes the bundle and its model card."""
    folder.mkdir(parents=True, exist_ok=True)
    fitted, measured = record.fitted, record.measured()
    model, settings, dataset, decisions = fitted.model, fitted.settings, fitted.dataset, measured.decisions
    model.save(folder / WEIGHTS)
    fitted.familiarity.save(folder / FAMILIARITY)
    weights = fitted.scanned.backbone.weights
    manifest = new_manifest(
        strategy=settings.strategy,
        requested=fitted.scanned.settings.strategy,
        task=settings.task,
        recipe=settings.recipe,
        classes=dataset.classes,
        backbone=BackboneEntry(
            name=model.spec.name,
            timm_name=model.spec.timm_name,
            weights_sha256=weights.sha256,
            weights_origin=weights.origin,
            licence=model.spec.licence,
            stages=model.spec.known_stages,
        ),
        preprocess=model.preprocess,
        engine=model.answers_with,
        weights_sha256=sha256_of_file(folder / WEIGHTS),
        settings=RecordedSettings(**dict(settings)),
        plan=fitted.plan,
        seed=settings.seed,
        data=_data_entry(fitted),
        **_images_of(fitted),
        extends=_extends(fitted),
        selected_on_val=settings.takes_steps,
        evaluation=measured.evaluation,
        numbers=measured.numbers,
        notes=record.account.limits,
        decisions=DecisionsEntry(
            temperature=fitted.temperature,
            set_on=decisions.set_on,
            precision=decisions.precision,
            conformal=decisions.conformal,
            labels=fitted.thresholds,
            familiarity=FamiliarityEntry(
                sha256=sha256_of_file(folder / FAMILIARITY),
                threshold=fitted.familiarity.threshold,
                false_alarms=FALSE_ALARMS,
            ),
        ),
        refit=fitted.refit,
        interrupted=fitted.interrupted,
    )
    write_card(folder, save_manifest(folder, manifest))
