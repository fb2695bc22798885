"""What the scikit-learn estimators share: answers, saved models, and images with labels in memory."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from headstart.artifact.bundle import bundle_files, read_bundle, write_files
from headstart.artifact.predictor import Predictor
from headstart.data.dataset import Dataset
from headstart.data.given_images import GivenImages, ImageInMemory, given_images
from headstart.data.images import UnreadableImage
from headstart.data.sources import Candidate, Sources
from headstart.errors import DataError, HeadstartWarning, SettingsError
from headstart.fitting.fitted import Fitted
from headstart.record.run_files import record_of, write_model
from headstart.storage import AnyPath, atomic_folder


class ImageEstimator(BaseEstimator):  # type: ignore[misc]
    """An estimator of images that is fitted once it has a predictor; `strategy_` says how."""

    _predictor: Predictor

    def save(self, folder: AnyPath) -> Path:
        """Writes the model as a bundle for `headstart predict` and `load`. Returns the folder."""
        check_is_fitted(self, "strategy_")
        target = Path(folder)
        if target.exists():
            raise SettingsError(f"{target} already exists", hint="choose another folder")
        with atomic_folder(target) as aside:
            write_files(aside, self._predictor.files())
        return target

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False  # an array with two dimensions is one image
        return tags

    def _answers(self, images: GivenImages, workers: int | None) -> list[np.ndarray]:
        """What the model says of each image, (n_classes,) float64. Raises DataError for one that cannot be read."""
        check_is_fitted(self, "strategy_")
        rows = []
        for prediction in self._predictor.predict(images, workers):
            if prediction.probabilities is None:
                raise unreadable(prediction.path, prediction.error)
            rows.append(prediction.probabilities)
        return rows


def files_of(fitted: Fitted) -> Mapping[str, bytes]:
    """The files of the bundle of a model that is not saved."""
    with TemporaryDirectory(prefix="headstart-") as folder:
        write_model(Path(folder), record_of(fitted))
        return bundle_files(read_bundle(Path(folder)))


def warn_of(dataset: Dataset, notes: Sequence[str] = ()) -> None:
    """Warns of what the owner should know."""
    for note in (*dataset.notes, *notes):
        warnings.warn(note, HeadstartWarning, stacklevel=3)
    if dataset.skipped:
        first = dataset.skipped[0]
        message = f"{len(dataset.skipped)} files were skipped; the first is {first.path}: {first.reason}"
        warnings.warn(message, HeadstartWarning, stacklevel=3)


def labelled_sources(images: GivenImages, labels: Sequence[str], stack: ExitStack) -> Sources:
    """The images with their labels; those in memory are files in a temporary folder until `stack` closes. Raises DataError."""
    folder: Path | None = None
    files: list[Candidate] = []
    for image in given_images(images):
        if isinstance(image, ImageInMemory):
            folder = folder or Path(stack.enter_context(TemporaryDirectory(prefix="headstart-")))
            file = folder / str(len(files))
            try:
                file.write_bytes(image.read())
            except UnreadableImage as error:
                raise unreadable(image.path, error.reason) from error
            image = Candidate(image.path, file)
        files.append(image)
    check_same_number(len(files), len(labels))
    return Sources("images", tuple(replace(file, label=label) for file, label in zip(files, labels, strict=True)))


def check_same_number(n_images: int, n_labels: int) -> None:
    """Raises DataError if there is not one label for each image."""
    if n_images != n_labels:
        raise DataError(f"there are {n_images} images and {n_labels} labels", hint="give one label per image")


def unreadable(path: str, reason: str) -> DataError:
    """The error for an image that was given explicitly and cannot be read."""
    return DataError(f"{path} cannot be read: {reason}", hint="leave it out of the list")
