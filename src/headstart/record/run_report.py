"""The figures of a run and its report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.artifact.figures import (
    Tile,
    confusion_figure,
    grid_figure,
    history_figure,
    learning_curve_figure,
    reliability_figure,
    save_figure,
)
from headstart.artifact.manifest import installed_versions
from headstart.artifact.predictor import Prediction
from headstart.artifact.report import ReportFacts, ReportFigure, write_report
from headstart.artifact.story import StoryFacts, tell
from headstart.artifact.tiles import prediction_tile
from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.images import read_bytes
from headstart.data.shown_paths import folder_of
from headstart.evaluation.calibration import reliability
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.fitted import Fitted
from headstart.fitting.view_choice import ViewChoice
from headstart.record.account import Account
from headstart.threads import map_in_threads

GRID_TILES, GRID_COLUMNS = 12, 6


def report_run(root: Path, fitted: Fitted, account: Account) -> None:
    """Draws figures/*.png and writes report.html in the run folder."""
    dataset, answers = fitted.dataset, fitted.answers[0]
    folder = folder_of(dataset)
    mistakes = [dataset.images[answers.indices[i]].path for i in _surest_mistakes(answers, dataset)]
    figures = tuple(_figures(root / "figures", fitted, account))
    story = tell(
        StoryFacts(
            account.reported,
            account.without_leaks,
            account.calibration,
            fitted.cross_validation,
            fitted.curve,
            account.doubts,
            tuple(path.removeprefix(folder) for path in mistakes),
            np.bincount(dataset.labels[fitted.split.train], minlength=len(dataset.classes)).tolist(),
        )
    )
    model = fitted.model
    shown = {name: value for name, value in fitted.plan.as_json().items() if name != "held_out_log_loss"}
    backbone = (
        ("name", model.spec.name),
        ("weights", fitted.scanned.backbone.weights.origin),
        ("weights SHA-256", fitted.scanned.backbone.weights.sha256),
        ("licence", model.spec.licence),
    )
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
            figures=figures,
            skipped=tuple(replace(entry, path=entry.path.removeprefix(folder)) for entry in dataset.skipped),
            tables=(
                ("Training plan with all values resolved", tuple(shown.items())),
                ("Settings as given", tuple(fitted.settings.as_json().items())),
                ("Preprocessing", tuple(model.preprocess.as_json().items())),
                *([("Views compared on training images", _compared(views))] if (views := fitted.scanned.views).trials else []),
                ("Backbone", backbone),
                ("Versions", tuple(installed_versions().items())),
            ),
        ),
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


def answer_tiles(images: Sequence[LabelledImage], probabilities: np.ndarray, fitted: Fitted) -> list[Tile]:
    """Tiles of labelled images with the model's predictions."""
    preprocess, classes = fitted.model.preprocess, fitted.dataset.classes

    def tile(shown: tuple[LabelledImage, np.ndarray]) -> Tile:
        image, row = shown
        answer = Prediction(image.path, classes, row)
        return prediction_tile(read_bytes(image.file), answer, image.label, preprocess, Path(image.path).name)

    return list(map_in_threads(tile, zip(images, probabilities, strict=True)))


def _figures(folder: Path, fitted: Fitted, account: Account) -> Iterator[ReportFigure]:
    dataset, answers = fitted.dataset, fitted.answers[0]
    if len(fitted.history) > 1:
        file = folder / "history.png"
        save_figure(history_figure(fitted.history, fitted.best_epoch), file)
        yield ReportFigure(
            "Training curves", "Loss and accuracy after each epoch. The dotted line marks the epoch that was kept.", file
        )
    file = folder / "confusion.png"
    save_figure(confusion_figure(account.reported, dataset.classes), file)
    yield ReportFigure("Which classes are confused", "Each row is a true class, each column a predicted one.", file)
    known = dataset.labels[answers.indices]
    mistakes = _surest_mistakes(answers, dataset)[:GRID_TILES]
    samples = np.random.default_rng(0).permutation(len(known))[:GRID_TILES].tolist()
    for name, title, caption, chosen in (
        (
            "mistakes",
            "The most confident mistakes",
            "Wrong answers, most confident first: hard cases or wrong labels.",
            mistakes,
        ),
        ("samples", "Sample predictions", "Chosen at random, right or wrong.", samples),
    ):
        if chosen:
            images = [dataset.images[answers.indices[i]] for i in chosen]
            save_figure(
                grid_figure(answer_tiles(images, answers.probabilities[chosen], fitted), GRID_COLUMNS), folder / f"{name}.png"
            )
            yield ReportFigure(title, caption, folder / f"{name}.png")
    if fitted.curve:
        file = folder / "learning_curve.png"
        save_figure(learning_curve_figure(fitted.curve), file)
        yield ReportFigure("Would more images help?", fitted.curve.sentence, file)
    file = folder / "reliability.png"
    after = reliability(answers.probabilities if answers.calibrated_apart is None else answers.calibrated_apart, known)
    before = after if answers.uncalibrated is None else reliability(answers.uncalibrated, known)
    save_figure(reliability_figure(before, after), file)
    yield ReportFigure(
        "Can the probabilities be trusted?", "On the dotted line, the model is right as often as its probabilities say.", file
    )


def _surest_mistakes(answers: SplitAnswers, dataset: Dataset) -> list[int]:
    """The indices of the wrong answers, most confident first."""
    right = answers.probabilities.argmax(axis=1) == dataset.labels[answers.indices]
    return [i for i in np.argsort(-answers.probabilities.max(axis=1), kind="stable").tolist() if not right[i]]
