"""The pictures: written whole, the same each time, nothing cut off, whatever the classes are called."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from headstart.artifact.figures import (
    DOTS_PER_INCH,
    GREEN,
    ORANGE,
    Tile,
    confusion_figure,
    grid_figure,
    history_figure,
    number_figure,
    save_figure,
    shorten,
)
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.number_intervals import number_intervals
from headstart.model.history import Epoch

NAMES = {
    "plain": "ants",
    "dollars": "$5 and $10_{x} \\frac",
    "umlauts": "Größe ÄÖÜß",
    "CJK": "大きさ比較する分類",
    "long": "a very long name of a class that somebody wrote as a whole sentence about it",
    "wide": "W" * 40,
    "one letter": "a",
    "markup": "<b>&amp;%s{}",
    "new line": "two\nlines",
    "empty": " ",
}


def evaluation_of(n_classes: int, n_images: int = 300) -> Evaluation:
    """Metrics of a model that is right in about two of three cases."""
    rng = np.random.default_rng(n_classes)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_images)])
    shares = rng.dirichlet(np.full(n_classes, 0.3), len(labels))
    shares[np.arange(len(labels)), labels] += rng.random(len(labels))
    names = [f"class {i}" for i in range(n_classes)]
    return evaluate_predictions(shares / shares.sum(axis=1, keepdims=True), labels, names, split="val")


def history_of(n_epochs: int, *, val: bool = True, start: int = 0) -> list[Epoch]:
    """A history as fine-tuning gives it."""
    return [
        Epoch(
            epoch=i,
            lr=1e-3,
            train_loss=2 / (i + 1),
            train_accuracy=1 - 1 / (i + 2),
            val_loss=2.5 / (i + 1) if val else None,
            val_accuracy=0.8 if val else None,
            seconds=1.0,
        )
        for i in range(start, start + n_epochs)
    ]


def tile_of(*lines: str, right: bool | None = None, seed: int = 0) -> Tile:
    """A tile of noise."""
    return Tile(np.random.default_rng(seed).integers(0, 256, (60, 60, 3), dtype=np.uint8), lines, right)


def assert_nothing_is_cut_off(figure: Figure, file: Path) -> None:
    """All that is drawn lies on the canvas, and the picture's edge is blank."""
    figure.set_dpi(DOTS_PER_INCH)  # so that letters are measured at the size they are drawn
    save_figure(figure, file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    slack = 1 / DOTS_PER_INCH
    assert box.x0 >= -slack and box.y0 >= -slack, f"{box} leaves a canvas of {width} x {height} inches"
    assert box.x1 <= width + slack and box.y1 <= height + slack, f"{box} leaves a canvas of {width} x {height} inches"
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.size == tuple(int(inches * DOTS_PER_INCH) for inches in (width, height))
        pixels = np.asarray(image.convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert edge.min() > 250, "something touches the edge"
    assert pixels.min() < 200, "nothing is drawn"


def label_boxes(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right, top of the text below each tile of a figure that was drawn, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    return [(box.x0, box.y0, box.x1, box.y1) for box in boxes]


@pytest.mark.parametrize("n_classes", [2, 10, 12, 13, 25, 26, 60, 61, 120])
def test_confusion_of_many_classes(tmp_path: Path, n_classes: int) -> None:
    """The confusion matrix of few and of many classes is drawn whole, and not larger than a screen."""
    names = [f"class {i}" for i in range(n_classes)]
    figure = confusion_figure(evaluation_of(n_classes), names)
    assert_nothing_is_cut_off(figure, tmp_path / "c.png")
    assert max(figure.get_size_inches()) <= 15


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("n_classes", [2, 14])
def test_confusion_with_any_name(tmp_path: Path, name: str, n_classes: int) -> None:
    """A class may be called anything: dollars, backslashes, scripts that the font lacks, whole sentences."""
    names = [name, *(f"other {i}" for i in range(n_classes - 1))]
    assert_nothing_is_cut_off(confusion_figure(evaluation_of(n_classes), names), tmp_path / "c.png")


def test_confusion_says_what_it_counts() -> None:
    """The confusion matrix names its axes, how many images of which split it counts, and each number is in its cell."""
    evaluation = evaluation_of(3)
    figure = confusion_figure(evaluation, ("a", "b", "c"))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.get_title() == f"{evaluation.n} val images"
    shown = {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in axes.texts}
    expected = {place: int(count) for place, count in np.ndenumerate(evaluation.confusion) if count}
    assert shown == expected
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


def test_confusion_without_images_of_a_class(tmp_path: Path) -> None:
    """A class without images is an empty row, not a division by zero."""
    shares = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1]])
    evaluation = evaluate_predictions(shares, np.array([0, 1]), ("a", "b", "c"), split="test")
    assert_nothing_is_cut_off(confusion_figure(evaluation, ("a", "b", "c")), tmp_path / "c.png")


@pytest.mark.parametrize(
    ("history", "best"),
    [(history_of(7), 4), (history_of(2), 0), (history_of(1), 0), (history_of(25, start=1), 20), (history_of(5, val=False), 4)],
    ids=["usual", "one epoch", "only the head", "tutorial", "without val"],
)
def test_history(tmp_path: Path, history: list[Epoch], best: int) -> None:
    """Training curves are drawn whole, for one epoch and for many, with and without val."""
    figure = history_figure(history, best)
    assert_nothing_is_cut_off(figure, tmp_path / "h.png")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (f"kept: epoch {best}" in legend, "val" in legend) == (True, history[0].val_loss is not None)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e12])
@pytest.mark.parametrize("n", [1, 40, 800])
def test_numbers(tmp_path: Path, n: int, unit: float) -> None:
    """Answers beside the truth, with the band of the intervals; those outside it are marked. In any unit."""
    rng = np.random.default_rng(0)
    answers = unit * rng.normal(size=n)
    numbers = answers + unit * rng.normal(size=n) * 0.3
    intervals = number_intervals(answers, numbers, 0.9) if n > 20 else None
    figure = number_figure(answers, numbers, intervals, "test")
    assert_nothing_is_cut_off(figure, tmp_path / "n.png")
    left, right = figure.axes
    assert left.get_title() == f"{n} test image{'s' * (n != 1)}"
    legend = [text.get_text() for text in left.get_legend().get_texts()]
    assert legend == (["90% intervals", "answer = truth", "outside"] if intervals else ["answer = truth"])
    shown = sum(len(points.get_offsets()) for points in left.collections if points.get_offsets().any())
    assert shown >= n
    assert sum(bar.get_height() for bar in right.patches) == n


@pytest.mark.parametrize(
    ("count", "title"), [(1, ""), (1, "one"), (2, ""), (5, ""), (6, "six"), (7, ""), (48, "the first 48 of 60 images")]
)
def test_grid_of_any_size(tmp_path: Path, count: int, title: str) -> None:
    """A grid of one image and of many is drawn whole, each with its lines."""
    tiles = [tile_of("circles 99%", f"image {i}.png", right=None, seed=i) for i in range(count)]
    figure = grid_figure(tiles, 6, title)
    assert_nothing_is_cut_off(figure, tmp_path / "g.png")
    assert sum("circles 99%" in text.get_text() for text in figure.axes[0].texts) == count


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("count", [1, 4])
def test_grid_with_any_name(tmp_path: Path, name: str, count: int) -> None:
    """Names of any length and script stand below their own picture: not cut off, and not over their neighbour's."""
    tiles = [tile_of(f"{name} 100%", f"true: {name}", f"{name}.jpg", right=i % 2 == 0, seed=i) for i in range(count)]
    figure = grid_figure(tiles, 6)
    assert_nothing_is_cut_off(figure, tmp_path / "g.png")
    boxes = label_boxes(figure)
    assert len(boxes) == count
    for i, (left, bottom, right, top) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert right <= other[0] or other[2] <= left or top <= other[1] or other[3] <= bottom, "two names overlap"


@pytest.mark.parametrize(
    "name", [NAMES["long"] * 3, NAMES["CJK"] * 5, "W" * 120, "$x$ " * 30], ids=["long", "CJK", "wide", "$"]
)
@pytest.mark.parametrize("count", [1, 12])
def test_long_titles(tmp_path: Path, name: str, count: int) -> None:
    """The name of a data set in a grid's title may be as long as a file system allows."""
    assert_nothing_is_cut_off(grid_figure([tile_of("a")] * count, 6, f"{name}: --augment no-flip"), tmp_path / "g.png")


def test_right_and_wrong_differ_without_colour() -> None:
    """Right and wrong are told by a tick and a cross as well as by two colours of a colour-blind-safe set."""
    figure = grid_figure([tile_of("a", right=True), tile_of("b", right=False), tile_of("c")], 3)
    labels = figure.axes[0].texts
    assert [label.get_text() for label in labels] == ["\u2713 a", "\u2717 b", "c"]
    assert [label.get_color() for label in labels[:2]] == [GREEN, ORANGE]


def test_a_grid_needs_a_picture() -> None:
    """A grid of nothing is refused."""
    with pytest.raises(ValueError, match="at least one"):
        grid_figure([], 6)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: confusion_figure(evaluation_of(5), ["a", "b", "c", "d", "e"]),
        lambda: history_figure(history_of(5), 2),
        lambda: grid_figure([tile_of("a"), tile_of("b", right=True)], 6, "title"),
        lambda: number_figure(np.arange(30.0), np.arange(30.0) ** 1.1, None, "val"),
    ],
    ids=["confusion", "history", "grid", "numbers"],
)
def test_same_figure_same_bytes(tmp_path: Path, draw: object) -> None:
    """The same figure gives the same bytes: two runs with one seed write identical pictures."""
    assert callable(draw)
    for name in ("a.png", "b.png"):
        save_figure(draw(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_drawing_needs_no_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pictures are drawn without a screen, and without a global figure that would stay in memory."""
    monkeypatch.delenv("DISPLAY", raising=False)
    save_figure(history_figure(history_of(3), 1), tmp_path / "new folder" / "h.png")
    assert (tmp_path / "new folder" / "h.png").is_file()
    import matplotlib._pylab_helpers as helpers

    assert helpers.Gcf.get_num_fig_managers() == 0


@pytest.mark.parametrize(
    ("text", "length", "wanted"),
    [("short", 5, "short"), ("longer", 5, "lo…er"), ("abcdefgh", 4, "a…gh"), ("", 3, ""), ("ab", 1, "…")],
)
def test_shorten(text: str, length: int, wanted: str) -> None:
    """A name too long keeps its beginning and its end, in as many letters as there is room for."""
    assert shorten(text, length) == wanted
    assert len(shorten(text, length)) <= length
