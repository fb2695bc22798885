"""A page of pictures with the places that speak for their answers."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.artifact.page import render_page
from headstart.artifact.predictor import Prediction, Predictor
from headstart.data.encoding import encode_thumbnail
from headstart.data.images import of_pixels
from headstart.errors import SettingsError
from headstart.model.explanation import WHAT_IT_SAYS, Explainer
from headstart.storage import atomic_write
from headstart.tasks.one_number import Numbers

PICTURE_PX = 320
COLOUR = np.array([230, 115, 0], np.float32)
STRONGEST = 0.7  # opacity of the place that adds most


@dataclass(frozen=True, slots=True)
class Explained:
    """An answer and its pictures, as data URIs."""

    prediction: Prediction
    plain: str
    marked: str
    sentence: str


def explainer_of(predictor: Predictor) -> Explainer:
    """What explains the answers of a model. Raises SettingsError if nothing can."""
    if isinstance(predictor.task, Numbers):
        raise SettingsError("--explain shows what speaks for a class, and this model answers with numbers", hint="leave it out")
    return Explainer.of(predictor.head, predictor.preprocess, predictor.extractor)


def explained(data: bytes, prediction: Prediction, explainer: Explainer) -> Explained:
    """The explanation of an answer for the bytes of an image file. Raises UnreadableImage."""
    found = explainer.explain(data, number=prediction.number)
    picture = explainer.preprocess.decode(data).rgb
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    pixels = np.asarray(picture)
    opacity = _opacity(found.shares, *pixels.shape[:2])[:, :, None]
    marked = pixels * (1 - opacity) + COLOUR * opacity
    sentence = WHAT_IT_SAYS.format(prediction.classes[found.number])
    return Explained(prediction, _data_uri(pixels), _data_uri(marked.round().astype(np.uint8)), sentence)


def write_explained(file: Path, shown: list[Explained], n_images: int) -> None:
    """Writes the page, whole or not at all."""
    page = render_page("explained.html.j2", shown=shown, n_images=n_images)
    with atomic_write(file) as aside:
        aside.write_text(page, encoding="utf-8")


def _opacity(shares: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) float32, 0 .. STRONGEST: what speaks against the class is not marked."""
    strength = np.maximum(shares, 0) / max(float(shares.max()), 1e-9)
    rows, columns = (np.arange(n) * side // n for n, side in ((height, shares.shape[0]), (width, shares.shape[1])))
    opacity: np.ndarray = STRONGEST * strength[np.ix_(rows, columns)]
    return opacity


def _data_uri(pixels: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_thumbnail(of_pixels(pixels), PICTURE_PX)).decode("ascii")
