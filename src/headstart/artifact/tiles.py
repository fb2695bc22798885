"""Tiles of a grid that show an answer: the class, its probability, and whether it is right, if the truth is known."""

from headstart.artifact.figures import Tile
from headstart.artifact.number_words import number_with_interval
from headstart.artifact.predictor import Prediction
from headstart.data.images import thumbnail
from headstart.data.preprocess import Preprocess

TILE_PX = 150


def prediction_tile(data: bytes, prediction: Prediction, truth: str | None, preprocess: Preprocess, *more_lines: str) -> Tile:
    """The tile of a prediction for an image's bytes; `truth` is its label, if known."""
    task = prediction.task
    if prediction.value is not None:
        lines = [number_with_interval(prediction), *(["unlike training images"] if prediction.unfamiliar else [])]
        return Tile(thumbnail(preprocess.decode(data).rgb, TILE_PX), (*lines, *more_lines))
    lines = [f"{task.in_words(prediction.predicted)} {prediction.probability:.0%}"]
    if prediction.unfamiliar:
        lines.append("unlike training images")
    is_right = None if truth is None else task.agree(truth, prediction.predicted)
    if truth is not None and not is_right:
        lines.append(f"true: {task.in_words(truth)}")
    pixels = thumbnail(preprocess.decode(data).rgb, TILE_PX)
    return Tile(pixels, (*lines, *more_lines), is_right)
