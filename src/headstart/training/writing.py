"""Writes what a run found: the bundle, the tables, the pictures, the report."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.artifact.bundle import WEIGHTS, installed_versions, write_manifest
from headstart.artifact.figures import Tile, confusion_figure, grid_figure, history_figure, save_figure
from headstart.artifact.predictor import Prediction
from headstart.artifact.report import ReportFacts, ReportFigure, write_report
from headstart.artifact.tables import write_history, write_predictions, write_skipped
from headstart.artifact.tiles import prediction_tile
from headstart.audit.findings import Checked
from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.images import read_bytes
from headstart.evaluation.metrics import Evaluation
from headstart.machine import peak_rss_mb, seconds_since_start
from headstart.progress import Progress
from headstart.settings import TrainSettings
from headstart.storage import write_json
from headstart.threads import map_in_threads
from headstart.training.fitted import Answers, Fit
from headstart.training.outcome import Trained
from headstart.training.run_folder import METRICS, RunFolder, as_metrics

GRID_TILES, GRID_COLUMNS = 12, 6


def write_run(folder: RunFolder, fit: Fit, settings: TrainSettings, progress: Progress) -> Trained:
    """Fills the run folder, puts it in its place and returns what it holds."""
    began = time.perf_counter()
    fitted, dataset = fit.fitted, fit.dataset
    evaluations = [fit.evaluate(answers) for answers in fitted.answers]
    reported, answers = evaluations[0], fitted.answers[0]
    clean = fit.without_leaks(answers)
    clean_evaluation = fit.evaluate(clean) if clean else None
    notes = dataset.notes + _leak_notes(reported, clean_evaluation) + fitted.notes + _held_out_notes(fit, reported)
    notes += _audit_notes(fit.checked)
    root = folder.partial
    progress("writing the run", 0, 3)
    write_model(root / "model", fit, settings, reported)
    images = [dataset.images[i] for i in answers.indices]
    paths, labels = [image.path for image in images], [image.label for image in images]
    write_predictions(root / "predictions.csv", paths, labels, answers.probabilities, dataset.classes)
    write_history(root / "history.csv", fitted.history)
    write_skipped(root / "skipped.csv", dataset.skipped)
    progress("writing the run", 1, 3)
    figures = _draw_figures(root / "figures", fit, reported, answers)
    _write_report(root / "report.html", fit, settings, reported, notes, figures)
    progress("writing the run", 2, 3)
    seconds = fit.seconds | {"report": time.perf_counter() - began}
    metrics = as_metrics(
        {
            "format": 1,
            "strategy": settings.strategy,
            "requested": settings.strategy,
            "recipe": settings.recipe,
            "backbone": {"name": fitted.model.spec.name, "weights_sha256": fit.weights.sha256},
            "classes": list(dataset.classes),
            "images": image_counts(fit) | {"skipped": len(dataset.skipped)},
            "evaluation": reported.as_json(),
            "without_leaks": clean_evaluation and clean_evaluation.as_json(),
            "other_evaluations": [evaluation.as_json() for evaluation in evaluations[1:]],
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
    return Trained(folder.place, reported, metrics, notes, fitted.interrupted, fit.work)


def write_model(folder: Path, fit: Fit, settings: TrainSettings, reported: Evaluation | None) -> None:
    """Writes the bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    fitted, dataset = fit.fitted, fit.dataset
    model = fitted.model
    model.save(folder / WEIGHTS)
    write_manifest(
        folder,
        {
            "strategy": settings.strategy,
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
            "images": {
                name: [dataset.images[i].sha256 for i in rows] for name, rows in fit.split.as_dict().items() if rows.size
            },
            "evaluation": reported.as_json() if reported else {},
            "refit": fitted.refit,
            "interrupted": fitted.interrupted,
        },
    )


def image_counts(fit: Fit) -> dict[str, int]:
    """Split -> number of images."""
    return {name: len(rows) for name, rows in fit.split.as_dict().items()}


def answer_tiles(images: Sequence[LabelledImage], probabilities: np.ndarray, fit: Fit) -> list[Tile]:
    """Tiles of labelled images with what the model says of them."""
    preprocess, classes = fit.fitted.model.preprocess, fit.dataset.classes

    def tile(shown: tuple[LabelledImage, np.ndarray]) -> Tile:
        image, row = shown
        answer = Prediction(image.path, classes, row)
        return prediction_tile(read_bytes(image.file), answer, image.label, preprocess, Path(image.path).name)

    return list(map_in_threads(tile, zip(images, probabilities, strict=True)))


def _leak_notes(reported: Evaluation, clean: Evaluation | None) -> tuple[str, ...]:
    if clean is None:
        return ()
    low, high = clean.accuracy_ci95
    return (
        f"{reported.n - clean.n} of the {reported.n} {reported.split} images have a twin in train, which flatters the model; "
        f"without them {clean.accuracy:.1%} of {clean.n} are right (95 % interval {low:.1%} to {high:.1%})",
    )


def _audit_notes(checked: Sequence[Checked]) -> tuple[str, ...]:
    """A line for each check that has more to say than an info."""
    notes = []
    for result in checked:
        grave = [finding for finding in result.findings if finding.is_grave]
        if grave:
            more = f", and {len(grave) - 1} more" if len(grave) > 1 else ""
            notes.append(f"{result.check}: {grave[0]}{more}; headstart audit shows all")
    return tuple(notes)


def _held_out_notes(fit: Fit, reported: Evaluation) -> tuple[str, ...]:
    notes = []
    if fit.split.val_from == "train" and fit.split.val.size:
        notes.append(f"val is {len(fit.split.val)} images split off train, class by class")
    if fit.fitted.interrupted:
        notes.append(f"interrupted: epoch {fit.fitted.best_epoch} is kept, the best until then")
    if fit.fitted.refit and reported.split != "test":
        notes.append("refit: the saved model was trained on train and val; the accuracy is of the model before that")
    return tuple(notes)


def _draw_figures(folder: Path, fit: Fit, reported: Evaluation, answers: Answers) -> tuple[ReportFigure, ...]:
    fitted, dataset = fit.fitted, fit.dataset
    figures = []
    if len(fitted.history) > 1:
        file = folder / "history.png"
        save_figure(history_figure(fitted.history, fitted.best_epoch), file)
        figures.append(ReportFigure("Training curves", "Loss and accuracy after each epoch; the dotted line is kept.", file))
    file = folder / "confusion.png"
    save_figure(confusion_figure(reported, dataset.classes), file)
    figures.append(ReportFigure("What is taken for what", "Each row is a true class, each column an answer.", file))
    right = answers.probabilities.argmax(axis=1) == dataset.labels[answers.indices]
    surest = np.argsort(-answers.probabilities.max(axis=1), kind="stable")
    mistakes = [i for i in surest if not right[i]][:GRID_TILES]
    samples = np.random.default_rng(0).permutation(len(right))[:GRID_TILES]
    for name, title, caption, chosen in (
        ("mistakes", "The surest mistakes", "Wrong answers, the surest first: hard cases, or wrong labels.", mistakes),
        ("samples", "Sample predictions", "Drawn at random, right and wrong as they come.", list(samples)),
    ):
        if chosen:
            images = [dataset.images[answers.indices[i]] for i in chosen]
            tiles = answer_tiles(images, answers.probabilities[chosen], fit)
            save_figure(grid_figure(tiles, GRID_COLUMNS), folder / f"{name}.png")
            figures.append(ReportFigure(title, caption, folder / f"{name}.png"))
    return tuple(figures)


def _write_report(
    file: Path,
    fit: Fit,
    settings: TrainSettings,
    reported: Evaluation,
    notes: tuple[str, ...],
    figures: tuple[ReportFigure, ...],
) -> None:
    dataset: Dataset = fit.dataset
    model = fit.fitted.model
    shown = {name: value for name, value in fit.fitted.plan.items() if name != "held_out_log_loss"}
    write_report(
        file,
        ReportFacts(
            name=dataset.name,
            strategy=settings.strategy,
            recipe=settings.recipe,
            backbone=model.spec.name,
            classes=dataset.classes,
            counts=image_counts(fit),
            evaluation=reported,
            notes=notes,
            figures=figures,
            skipped=dataset.skipped,
            tables=(
                ("The plan, every number resolved", tuple(shown.items())),
                ("Settings as asked for", tuple(settings.as_json().items())),
                ("Preprocessing", tuple(model.preprocess.as_json().items())),
                (
                    "Backbone",
                    (
                        ("name", model.spec.name),
                        ("weights", fit.weights.origin),
                        ("weights SHA-256", fit.weights.sha256),
                        ("licence", model.spec.licence),
                    ),
                ),
                ("Versions", tuple(installed_versions().items())),
            ),
        ),
    )
