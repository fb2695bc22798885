"""The pictures of the report of a run whose answers are numbers. Imported where they are drawn, as `run_figures` is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headstart.artifact.figures import Tile, grid_figure, history_figure, number_figure, save_figure
from headstart.artifact.report import ReportFigure
from headstart.artifact.tiles import TILE_PX
from headstart.data.images import read_bytes, thumbnail
from headstart.data.wording import in_digits
from headstart.fitting.fitted import Fitted
from headstart.record.number_account import NumberAccount, farthest_off
from headstart.threads import map_in_threads

GRID_TILES, GRID_COLUMNS = 12, 6


def draw_number_figures(folder: Path, fitted: Fitted, account: NumberAccount) -> Iterator[ReportFigure]:
    """Draws what the report shows into a folder, one after the other."""
    answers, labels = fitted.answers[0], fitted.dataset.labels
    numbers, truth = answers.probabilities[:, 0], labels[answers.indices]
    if len(fitted.history) > 1:
        file = folder / "history.png"
        save_figure(history_figure(fitted.history, fitted.best_epoch), file)
        yield ReportFigure(
            "Training curves",
            "After each epoch the squared error, in variances of the training images' numbers, and as accuracy the share of "
            "the answers that are off by less than half a standard deviation. The dotted line marks the epoch that was kept.",
            file,
        )
    file = folder / "numbers.png"
    save_figure(number_figure(numbers, truth, account.decisions.intervals, answers.split), file)
    yield ReportFigure(
        "How far answers are off", "Left the true number of each image against the answer, right the errors.", file
    )
    samples = np.random.default_rng(0).permutation(len(truth))[:GRID_TILES].tolist()
    for name, title, caption, chosen in (
        ("errors", "The largest errors", "Hard cases or wrong labels.", farthest_off(answers, labels)[:GRID_TILES]),
        ("samples", "Sample predictions", "Chosen at random.", samples),
    ):
        save_figure(grid_figure(list(_tiles(fitted, account, chosen)), GRID_COLUMNS), folder / f"{name}.png")
        yield ReportFigure(title, caption, folder / f"{name}.png")


def _tiles(fitted: Fitted, account: NumberAccount, chosen: list[int]) -> Iterator[Tile]:
    """Images with the answers to them; those outside their interval are marked."""
    answers, dataset, intervals = fitted.answers[0], fitted.dataset, account.decisions.intervals
    span = account.seen.high - account.seen.low

    def tile(place: int) -> Tile:
        image, number = dataset.images[answers.indices[place]], float(answers.probabilities[place, 0])
        truth, inside = float(dataset.labels[answers.indices[place]]), None
        if intervals is not None:
            low, high = intervals.around(np.array([number]))[0]
            inside = bool(low <= truth <= high)
        pixels = thumbnail(fitted.model.preprocess.decode(read_bytes(image.file)).rgb, TILE_PX)
        return Tile(pixels, (in_digits(number, span), f"true: {in_digits(truth, span)}", Path(image.path).name), inside)

    yield from map_in_threads(tile, chosen)
