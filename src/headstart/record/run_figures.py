"""The pictures of a run's report. Imported where they are drawn, because Matplotlib takes most of a second to load."""

from collections.abc import Iterator, Sequence
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
    together_figure,
)
from headstart.artifact.predictor import Prediction
from headstart.artifact.report import ReportFigure
from headstart.artifact.tiles import prediction_tile
from headstart.data.dataset import LabelledImage
from headstart.data.images import read_bytes
from headstart.evaluation.calibration import reliability
from headstart.fitting.fitted import Fitted
from headstart.record.account import Account, surest_mistakes
from headstart.threads import map_in_threads

GRID_TILES, GRID_COLUMNS = 12, 6


def draw_figures(folder: Path, fitted: Fitted, account: Account) -> Iterator[ReportFigure]:
    """Draws what the report shows into a folder, one after the other."""
    dataset, answers = fitted.dataset, fitted.answers[0]
    if len(fitted.history) > 1:
        file = folder / "history.png"
        save_figure(history_figure(fitted.history, fitted.best_epoch), file)
        yield ReportFigure(
            "Training curves", "Loss and accuracy after each epoch. The dotted line marks the epoch that was kept.", file
        )
    if account.reported.label_sets is not None:
        file = folder / "together.png"
        save_figure(together_figure(account.reported.label_sets.together, dataset.classes), file)
        yield ReportFigure(
            "Which labels occur together", "Images that have both labels; on the diagonal those that have the one.", file
        )
    else:
        file = folder / "confusion.png"
        save_figure(confusion_figure(account.reported, dataset.classes), file)
        yield ReportFigure("Which classes are confused", "Each row is a true class, each column a predicted one.", file)
    known = dataset.labels[answers.indices]
    mistakes = surest_mistakes(answers, dataset, fitted.task)[:GRID_TILES]
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
                grid_figure(_answer_tiles(images, answers.probabilities[chosen], fitted), GRID_COLUMNS), folder / f"{name}.png"
            )
            yield ReportFigure(title, caption, folder / f"{name}.png")
    if fitted.curve:
        file = folder / "learning_curve.png"
        save_figure(learning_curve_figure(fitted.curve), file)
        yield ReportFigure("Would more images help?", fitted.curve.sentence, file)
    file = folder / "reliability.png"
    calibrated = answers.probabilities if answers.calibrated_apart is None else answers.calibrated_apart
    after = reliability(*fitted.task.one_by_one(calibrated, known))
    before = after if answers.uncalibrated is None else reliability(*fitted.task.one_by_one(answers.uncalibrated, known))
    save_figure(reliability_figure(before, after), file)
    yield ReportFigure(
        "Can the probabilities be trusted?", "On the dotted line, the model is right as often as its probabilities say.", file
    )


def _answer_tiles(images: Sequence[LabelledImage], probabilities: np.ndarray, fitted: Fitted) -> list[Tile]:
    """Tiles of labelled images with the model's predictions."""
    preprocess, classes = fitted.model.preprocess, fitted.dataset.classes

    def tile(shown: tuple[LabelledImage, np.ndarray]) -> Tile:
        image, row = shown
        answer = Prediction(image.path, classes, row, task=fitted.task)
        return prediction_tile(read_bytes(image.file), answer, image.label, preprocess, Path(image.path).name)

    return list(map_in_threads(tile, zip(images, probabilities, strict=True)))
