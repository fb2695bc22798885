"""A page of pictures with the places that speak for their answers."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.artifact.number_words import number_with_interval
from headstart.artifact.numbers import share
from headstart.artifact.page import render_page
from headstart.artifact.predictor import Prediction, Predictor
from headstart.data.encoding import encode_thumbnail
from headstart.data.images import of_pixels
from headstart.data.wording import in_digits
from headstart.model.explanation import WHAT_A_NUMBER_SAYS, WHAT_IT_SAYS, Explainer
from headstart.storage import atomic_write
from headstart.tasks.one_number import Numbers

PICTURE_PX = 320
FOR = np.array([230, 115, 0], np.float32)  # orange: what speaks for a class or raises a number
AGAINST = np.array([0, 90, 200], np.float32)  # blue: what lowers a number
STRONGEST = 0.7  # opacity of the place that adds most


@dataclass(frozen=True, slots=True)
class Explained:
    """An answer and its pictures, as data URIs."""

    prediction: Prediction
    plain: str
    marked: str
    sentence: str

    @property
    def answer(self) -> str:
        """The answer in words."""
        if self.prediction.value is not None:
            return number_with_interval(self.prediction)
        return f"{self.prediction.predicted} {share(self.prediction.probability)}"


def explainer_of(predictor: Predictor) -> Explainer:
    """What explains the answers of a model. Raises SettingsError if nothing can."""
    return Explainer.of(predictor.head, predictor.preprocess, predictor.extractor)


def explained(data: bytes, prediction: Prediction, explainer: Explainer) -> Explained:
    """The explanation of an answer for the bytes of an image file. Raises UnreadableImage."""
    task = prediction.task
    if isinstance(task, Numbers):
        shares, sentence = _of_number(data, task, explainer)
    else:
        found = explainer.explain(data, number=prediction.number)
        # What speaks against a class is not marked: it may be another class that it speaks for.
        shares, sentence = np.maximum(found.shares, 0), WHAT_IT_SAYS.format(prediction.classes[found.number])
    picture = explainer.preprocess.decode(data).rgb
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    pixels = np.asarray(picture)
    return Explained(prediction, _data_uri(pixels), _data_uri(_marked(pixels, shares)), sentence)


def _of_number(data: bytes, task: Numbers, explainer: Explainer) -> tuple[np.ndarray, str]:
    """What places add to a number, and the sentence on it."""
    found, n_views = explainer.explain_number(data), explainer.preprocess.n_views
    sentence = WHAT_A_NUMBER_SAYS.format(
        mean=in_digits(task.mean, task.spread),
        raised=in_digits(found.raised * task.spread),
        lowered=in_digits(found.lowered * task.spread),
        of_views="" if n_views == 1 else f" in the first of {n_views} views of the image",
    )
    return found.shares, sentence


def write_explained(file: Path, shown: list[Explained], n_images: int) -> None:
    """Writes the page, whole or not at all."""
    of_numbers = any(one.prediction.value is not None for one in shown)
    page = render_page("explained.html.j2", shown=shown, n_images=n_images, of_numbers=of_numbers)
    with atomic_write(file) as aside:
        aside.write_text(page, encoding="utf-8")


def _marked(pixels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 pixels under the colours of the (side, side) shares of their places."""
    height, width = pixels.shape[:2]
    rows, columns = (np.arange(n) * side // n for n, side in ((height, shares.shape[0]), (width, shares.shape[1])))
    strength = (shares / max(float(np.abs(shares).max()), 1e-9))[np.ix_(rows, columns)][:, :, None]
    opacity = STRONGEST * np.abs(strength)
    marked: np.ndarray = pixels * (1 - opacity) + np.where(strength > 0, FOR, AGAINST) * opacity
    return marked.round().astype(np.uint8)


def _data_uri(pixels: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_thumbnail(of_pixels(pixels), PICTURE_PX)).decode("ascii")
