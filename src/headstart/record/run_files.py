"""Writes what a run found: the bundle, the tables, the pictures, the report."""

import json
import time
from dataclasses import asdict
from pathlib import Path

from headstart.artifact.bundle import FAMILIARITY, WEIGHTS, write_manifest
from headstart.artifact.card import write_card
from headstart.artifact.csv_files import write_history, write_predictions, write_skipped
from headstart.evaluation.metrics import Evaluation
from headstart.fitting.fitted import Fit
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.model.familiarity import FALSE_ALARMS
from headstart.progress import Progress
from headstart.record.account import account_of, known_limits
from headstart.record.decisions import Decisions
from headstart.record.run_folder import METRICS, RunFolder, as_metrics
from headstart.record.run_report import report_run
from headstart.record.trained import Trained
from headstart.storage import sha256_of_file, write_json


def write_run(folder: RunFolder, fit: Fit, progress: Progress) -> Trained:
    """Fills the run folder, puts it in its place and returns what it holds."""
    began = time.perf_counter()
    fitted, dataset, settings = fit.fitted, fit.dataset, fit.settings
    account, answers = account_of(fit), fitted.answers[0]
    notes = (*account.doubts, *account.remarks)
    root = folder.partial
    progress("writing the run", 0, 3)
    write_model(root / "model", fit, account.reported, account.decisions, account.limits)
    images = [dataset.images[i] for i in answers.indices]
    paths, labels = [image.path for image in images], [image.label for image in images]
    write_predictions(root / "predictions.csv", paths, labels, answers.probabilities, dataset.classes)
    write_history(root / "history.csv", fitted.history)
    write_skipped(root / "skipped.csv", dataset.skipped)
    progress("writing the run", 1, 3)
    report_run(root, fit, account)
    progress("writing the run", 2, 3)
    seconds = fit.seconds | {"report": time.perf_counter() - began}
    metrics = as_metrics(
        {
            "format": 1,
            "strategy": settings.strategy,
            "requested": fit.requested,
            "choice": fit.choice and fit.choice.as_json(),
            "recipe": settings.recipe,
            "backbone": {"name": fitted.model.spec.name, "weights_sha256": fit.weights.sha256},
            "classes": list(dataset.classes),
            "images": fit.image_counts() | {"skipped": len(dataset.skipped)},
            "evaluation": account.reported.as_json(),
            "without_leaks": account.without_leaks and account.without_leaks.as_json(),
            "other_evaluations": [evaluation.as_json() for evaluation in account.evaluations[1:]],
            "calibration": account.calibration and account.calibration.as_json(),
            "cross_validation": fitted.cross_validation and fitted.cross_validation.as_json(),
            "learning_curve": fitted.curve and fitted.curve.as_json(),
            "decisions": account.decisions.as_json(answers, dataset.labels),
            "best_epoch": fitted.best_epoch,
            "refit": fitted.refit,
            "notes": list(notes),
            "seconds": {"total": round(seconds_since_start(), 3)} | {k: round(v, 3) for k, v in seconds.items()},
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "interrupted": fitted.interrupted,
        },
        folder,
    )
    write_json(root / METRICS, metrics)
    folder.finish(interrupted=fitted.interrupted)
    progress("writing the run", 3, 3)
    return Trained(folder.place, account.reported, metrics, notes, fitted.interrupted, fit.work)


def write_model(
    folder: Path, fit: Fit, reported: Evaluation | None, decisions: Decisions, limits: tuple[str, ...] | None = None
) -> None:
    """Writes the bundle and its model card; `limits` are those of the fit's account, worked out here if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    fitted, dataset, settings = fit.fitted, fit.dataset, fit.settings
    model = fitted.model
    model.save(folder / WEIGHTS)
    fitted.familiarity.save(folder / FAMILIARITY)
    manifest = write_manifest(
        folder,
        {
            "strategy": settings.strategy,
            "requested": fit.requested,
            "recipe": settings.recipe,
            "classes": dataset.classes,
            "backbone": {
                "name": model.spec.name,
                "timm_name": model.spec.timm_name,
                "weights_sha256": fit.weights.sha256,
                "weights_origin": fit.weights.origin,
                "licence": model.spec.licence,
            },
            "preprocess": model.preprocess.as_json(),
            "settings": settings.as_json(),
            "plan": json.loads(json.dumps(fitted.plan)),
            "seed": settings.seed,
            "data": {
                "name": dataset.name,
                "counts": fit.class_counts(),
                "skipped": len(dataset.skipped),
            },
            "images": {
                name: [dataset.images[i].sha256 for i in rows] for name, rows in fit.split.as_dict().items() if rows.size
            },
            "evaluation": reported.as_json() if reported else {},
            "notes": known_limits(fit, reported, decisions) if limits is None else limits,
            "decisions": {
                "temperature": fitted.temperature,
                "set_on": decisions.set_on,
                "precision": decisions.precision and asdict(decisions.precision),
                "conformal": decisions.conformal and asdict(decisions.conformal),
                "familiarity": {
                    "sha256": sha256_of_file(folder / FAMILIARITY),
                    "threshold": fitted.familiarity.threshold,
                    "false_alarms": FALSE_ALARMS,
                },
            },
            "refit": fitted.refit,
            "interrupted": fitted.interrupted,
        },
    )
    write_card(folder, manifest)
