"""The pictures: training curves, confusion matrix, grids of images. Colours are of Okabe and Ito's colour-blind-safe set."""

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.artifact.fonts import lend_fonts, matplotlib_in_home
from headstart.data.wording import counted
from headstart.evaluation.calibration import ReliabilityBin
from headstart.evaluation.intervals import wilson_interval
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.model.history import Epoch
from headstart.storage import atomic_write

with matplotlib_in_home():
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Rectangle
    from matplotlib.textpath import text_to_path
    from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"
DOTS_PER_INCH = 110
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "text.parse_math": False,  # a class may be called "$5"
}
MAX_NUMBERED_CLASSES = 25  # with more, the cells of a confusion matrix are too small for numbers
MAX_NAMED_CLASSES = 60
# Inches. Of a grid: from tile to tile, a picture's side, what is left empty, from a picture to its lines, of a line.
TILE_WIDTH, TILE_SIDE, MARGIN, LINES_GAP, LINE_HEIGHT, LINE_WIDTH = 1.75, 1.62, 0.09, 0.05, 0.165, 1.6
NAME_WIDTH = 1.5  # inches: of a class beside the confusion matrix
PNG_COMPRESSION = 2  # of 9: photographs hardly get smaller with more, and it takes three times as long


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a grid and the lines below it."""

    pixels: np.ndarray  # (side, side, 3) uint8
    lines: tuple[str, ...]
    right: bool | None = None  # framed green with a tick, orange with a cross, or not at all


@contextmanager
def _drawing() -> Iterator[None]:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Measuring a text warns of characters that lend_fonts finds a font for, or tells of.
        warnings.filterwarnings("ignore", message="Glyph|findfont", category=UserWarning)
        yield


def save_figure(figure: Figure, file: Path) -> None:
    """Writes a PNG, whole or not at all. The same figure gives the same bytes."""
    lend_fonts(figure)
    with _drawing(), atomic_write(file) as aside:
        FigureCanvasAgg(figure)
        options = {"compress_level": PNG_COMPRESSION}
        figure.savefig(aside, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None}, pil_kwargs=options)


def history_figure(history: Sequence[Epoch], best_epoch: int) -> Figure:
    """Loss and accuracy of train and val over the epochs, with the kept epoch marked."""
    with _drawing():
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            epochs = [row.epoch for row in history]
            train = [getattr(row, f"train_{name}") for row in history]
            axes.plot(epochs, train, color=BLUE, marker="o", markersize=4, label="train (augmented)")
            val = [(row.epoch, getattr(row, f"val_{name}")) for row in history if getattr(row, f"val_{name}") is not None]
            if val:
                axes.plot(*zip(*val, strict=True), color=ORANGE, marker="s", markersize=4, linestyle="--", label="val")
            axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", label=f"kept: epoch {best_epoch}")
            axes.set(xlabel="epoch (0: the fitted head)" if epochs[0] == 0 else "epoch", title=name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.25)
            if name == "loss":
                axes.set_ylim(bottom=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def confusion_figure(evaluation: Evaluation, classes: Sequence[str]) -> Figure:
    """Rows are true classes, columns predicted ones. Numbers are images, shades the share of the true class."""
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = f"{evaluation.n} {evaluation.split} images"
    return _matrix_figure(counts, shares, classes, ("predicted", "true"), title, "share of the true class")


def together_figure(together: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Numbers are images with both labels, on the diagonal with the one; shades the share of the row's images."""
    counts = np.array(together)
    shares = counts / np.maximum(np.diag(counts)[:, None], 1)
    return _matrix_figure(counts, shares, labels, ("also", "images with"), "", "share of the row's images")


def _matrix_figure(
    counts: np.ndarray, shares: np.ndarray, classes: Sequence[str], axis_names: tuple[str, str], title: str, meaning: str
) -> Figure:
    """(n_classes, n_classes) numbers in cells that are shaded by shares; the names are those of columns and rows."""
    n = len(classes)
    side = min(14.0, max(3.6, 1.6 + 0.46 * n))
    with _drawing():
        figure = Figure(figsize=(side + 0.8, side), layout="constrained")
        axes = figure.subplots()
        picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if n <= MAX_NAMED_CLASSES:
            size = 10 if n <= 12 else 8 if n <= 30 else 6
            names = [fit(name, NAME_WIDTH, size) for name in classes]
            cell = 0.75 * side / n  # inches; the rest is names and the colour bar
            side_by_side = all(text_width(name, size) < 0.85 * cell for name in names)
            axes.set_xticks(range(n), names, rotation=0 if side_by_side else 45, fontsize=size)
            if not side_by_side:
                for label in axes.get_xticklabels():
                    label.set(horizontalalignment="right", rotation_mode="anchor")
            axes.set_yticks(range(n), names, fontsize=size)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
        if n <= MAX_NUMBERED_CLASSES:
            for row, column in zip(*np.nonzero(counts), strict=True):
                colour = "white" if shares[row, column] > 0.55 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
        axes.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axes, shrink=0.8, label=meaning)
    return figure


def reliability_figure(before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin]) -> Figure:
    """How often answers are right at each level of confidence, before and after the temperature."""
    with _drawing():
        figure = Figure(figsize=(4.6, 4.2))
        axes = figure.add_axes((0.15, 0.12, 0.82, 0.84))  # placed by hand: a layout engine takes as long as the drawing itself
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfectly calibrated")
        for bins, colour, marker, name in ((before, ORANGE, "s", "before"), (after, BLUE, "o", "after")):
            if bins and (name == "after" or bins != after):
                label = f"{name} the temperature" if before != after else "the model"
                sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
                axes.plot(sure, right, color=colour, marker=marker, markersize=4, linewidth=1, label=label)
                if name == "after":  # the interval of each point
                    ends = [wilson_interval(b.accuracy * b.n, b.n) for b in bins]
                    axes.vlines(sure, *zip(*ends, strict=True), color=colour, alpha=0.35, linewidth=1)
        low = min(min(b.confidence, b.accuracy) for b in after) if after else 0.0
        axes.set(xlabel="confidence (mean probability of the answer)", ylabel="accuracy", aspect="equal")
        axes.set(xlim=(max(0.0, low - 0.05), 1.02), ylim=(max(0.0, low - 0.05), 1.02))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, loc="upper left")
    return figure


def learning_curve_figure(curve: LearningCurve) -> Figure:
    """Accuracy with its interval against the number of training images."""
    with _drawing():
        figure = Figure(figsize=(5.4, 3.9))
        axes = figure.add_axes((0.14, 0.13, 0.83, 0.83))
        n, accuracy = [p.n_train for p in curve.points], [p.accuracy for p in curve.points]
        axes.fill_between(
            n,
            [p.accuracy_ci95[0] for p in curve.points],
            [p.accuracy_ci95[1] for p in curve.points],
            color=BLUE,
            alpha=0.15,
            lw=0,
        )
        axes.plot(n, accuracy, color=BLUE, marker="o", markersize=4)
        axes.set(xlabel="training images", ylabel="accuracy (with 95 % interval)", xlim=(0, None))
        axes.grid(alpha=0.25)
    return figure


def number_figure(answers: np.ndarray, numbers: np.ndarray, intervals: NumberIntervals | None, split: str) -> Figure:
    """The true numbers against (n,) answers, with the band of their intervals; beside it, how often answers are how far off."""
    low, high = float(min(answers.min(), numbers.min())), float(max(answers.max(), numbers.max()))
    reach = 0.04 * (high - low) or 0.5
    line = np.linspace(low - reach, high + reach, 200)
    inside = np.ones(len(answers), bool)
    with _drawing():
        figure = Figure(figsize=(9.4, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        if intervals is not None:
            band, ends = intervals.around(line), intervals.around(answers)
            inside = (ends[:, 0] <= numbers) & (numbers <= ends[:, 1])
            label = f"{intervals.coverage:.0%} intervals"
            left.fill_between(line, band[:, 0], band[:, 1], color=BLUE, alpha=0.12, lw=0, label=label)
        left.plot(line, line, color=GREY, linewidth=1, linestyle=":", label="answer = truth")
        size = 14 if len(answers) <= 500 else 6
        left.scatter(answers[inside], numbers[inside], s=size, color=BLUE, alpha=0.5, lw=0)
        if not inside.all():
            left.scatter(answers[~inside], numbers[~inside], s=size, color=ORANGE, alpha=0.7, lw=0, marker="s", label="outside")
        left.set(xlabel="answer", ylabel="truth", title=counted(len(answers), f"{split} image"), xlim=(line[0], line[-1]))
        left.legend(frameon=False, loc="upper left")
        off = answers - numbers
        right.hist(off, bins=min(40, max(8, round(math.sqrt(len(off))))), color=BLUE, alpha=0.8)
        right.axvline(0, color=GREY, linewidth=1, linestyle=":")
        right.set(xlabel="answer - truth", ylabel="images", title=f"off by {np.abs(off).mean():.3g} on average")
        for axes in (left, right):
            axes.grid(alpha=0.25)
    return figure


def grid_figure(tiles: Sequence[Tile], columns: int, title: str = "") -> Figure:
    """Pictures in rows, each with its lines below. Raises ValueError without any.

    Everything is in one pair of axes whose unit is the inch: a pair per tile, laid out by Matplotlib, took four times as long.
    """
    if not tiles:
        raise ValueError("a grid needs at least one picture")
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    title_height = 0.425 if title else 0.0
    row_height = TILE_SIDE + LINES_GAP + LINE_HEIGHT * max(len(tile.lines) for tile in tiles) + MARGIN
    width, height = max(TILE_WIDTH * columns, 3.5), row_height * rows + MARGIN + title_height
    with _drawing():
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        if title:
            axes.text(MARGIN, MARGIN, fit(title, width - 2 * MARGIN, 11), fontsize=11, va="top")
        left = (width - TILE_WIDTH * columns + TILE_WIDTH - TILE_SIDE) / 2
        for i, tile in enumerate(tiles):
            row, column = divmod(i, columns)
            _draw_tile(axes, tile, left + column * TILE_WIDTH, MARGIN + title_height + row * row_height)
    return figure


def _draw_tile(axes: Axes, tile: Tile, left: float, top: float) -> None:
    right, bottom = left + TILE_SIDE, top + TILE_SIDE
    axes.imshow(tile.pixels, extent=(left, right, bottom, top), aspect="auto")
    mark = {True: "\u2713 ", False: "\u2717 ", None: ""}[tile.right]
    colour = {True: GREEN, False: ORANGE, None: "black"}[tile.right]
    edge, thickness = ("#BBBBBB", 1.0) if tile.right is None else (colour, 2.5)
    axes.add_patch(Rectangle((left, top), TILE_SIDE, TILE_SIDE, fill=False, edgecolor=edge, linewidth=thickness))
    lines = (mark + tile.lines[0], *tile.lines[1:]) if tile.lines else ()
    text = "\n".join(fit(line, LINE_WIDTH, 8.5) for line in lines)
    axes.text((left + right) / 2, bottom + LINES_GAP, text, fontsize=8.5, color=colour, ha="center", va="top")


def fit(text: str, width: float, points: float) -> str:
    """The text on one line, shortened until it is at most `width` inches wide in a font of this size."""
    text = " ".join(text.split())

    def too_wide(length: int) -> bool:
        return text_width(shorten(text, length), points) > 0.95 * width  # on whole pixels, letters are drawn up to 4 % wider

    longest = min(len(text), 250)
    if not too_wide(longest):
        return shorten(text, longest)
    # Measuring is slow, so the length is found by bisection; the one it ends on was measured, and fits.
    return shorten(text, max(bisect_left(range(longest), True, lo=1, key=too_wide) - 1, 1))


def text_width(text: str, points: float) -> float:
    """How wide a line of text is in a font of this size, in inches."""
    width: float = text_to_path.get_text_width_height_descent(text, FontProperties(size=points), ismath=False)[0]
    return width / 72


def shorten(text: str, length: int) -> str:
    """The text, its middle replaced by an ellipsis if it is longer than `length`."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return text[:head] + "…" + text[len(text) - (length - 1 - head) :]
