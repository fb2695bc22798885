"""A saved model that predicts: image files in, classes with probabilities out."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.artifact.bundle import Bundle, bundle_files, read_bundle, unpacked
from headstart.artifact.bundled_network import parts_of
from headstart.artifact.manifest import Manifest
from headstart.data.boxes import Box
from headstart.data.given_images import GivenImages, ImageInMemory, given_images
from headstart.data.images import MAX_PIXELS, Fault
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.errors import BundleError, HeadstartError, HeadstartWarning, explains_missing_packages
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.machine import has_cuda
from headstart.model.extractor import Extractor
from headstart.model.familiarity import Familiarity
from headstart.model.head import Head
from headstart.model.pipeline import Opened, Pipeline
from headstart.progress import Progress, silent
from headstart.storage import AnyPath
from headstart.tasks.kinds import task_named
from headstart.tasks.one_number import Numbers
from headstart.tasks.several_labels import SeveralLabels
from headstart.tasks.single_label import SINGLE_LABEL
from headstart.tasks.task import LearningTask

if TYPE_CHECKING:
    pass


UNSURE = "unsure"  # the answer instead of a class


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one file: probabilities, or the reason why it could not be read."""

    path: str
    classes: tuple[str, ...]
    probabilities: np.ndarray | None  # (n_classes,) float64
    error: str = ""
    min_confidence: float = 0.0  # below it the answer is UNSURE
    members: tuple[str, ...] | None = None  # classes that cannot be ruled out; None if the model has no such sets
    distance: float | None = None  # from the training images, 0 .. 2; None if the model did not record them
    unfamiliar: bool | None = None  # whether it is farther away than images of their kind
    fault: Fault | None = None  # what is wrong with a file that could not be read
    task: LearningTask = SINGLE_LABEL
    box: Box | None = None  # the part of the picture that was asked about; None: all of it
    ends: tuple[float, float] | None = None  # of the interval around a number; None where there is none

    @property
    def value(self) -> float | None:
        """The answer where answers are numbers; None for classes and for an unreadable file."""
        if self.probabilities is None or not isinstance(self.task, Numbers):
            return None
        return float(self.probabilities[0])

    @property
    def best(self) -> str:
        """What the answer is, or would be if it were sure enough; "" for an unreadable file."""
        return self._answer[0]

    @property
    def number(self) -> int | None:
        """Which class it is; the most probable one if the answer stops above the classes or is none or several of them; None
        for an unreadable file.
        """
        if self.probabilities is None:
            return None
        if not self.task.has_one_answer or isinstance(self.task, Numbers):
            return int(self.probabilities.argmax())
        return int(self.task.decide(self.probabilities[None])[0])

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels that are said of an image, the most probable first; None for one class an image or an unreadable file."""
        if self.probabilities is None or not isinstance(self.task, SeveralLabels):
            return None
        return self.task.said(self.classes, self.probabilities, self.min_confidence)

    @property
    def unsure(self) -> bool:
        """Whether it is not probable enough to be the answer."""
        return self.probabilities is not None and self.task.is_unsure(self.probability, self.min_confidence)

    @property
    def predicted(self) -> str:
        """The answer: a class, one of what its classes are nested in, or UNSURE; "" for an unreadable file."""
        return UNSURE if self.unsure else self.best

    @property
    def probability(self) -> float:
        """The probability of `best`; 0 for an unreadable file."""
        return self._answer[1]

    @property
    def _answer(self) -> tuple[str, float]:
        if self.probabilities is None:
            return "", 0.0
        return self.task.answer(self.classes, self.probabilities, self.min_confidence)

    def as_json(self) -> dict[str, Any]:
        """The answer as JSON values: a line of `predict --format jsonl`, a prediction of the server."""
        box = {} if self.box is None else {"box": list(self.box.numbers)}
        if self.probabilities is None:
            return {"path": self.path, **box, "error": self.error}
        if self.value is not None:
            return {"path": self.path, **box, "predicted": self.value} | self._interval() | self._familiarity()
        values: dict[str, Any] = {
            "path": self.path,
            **box,
            "predicted": self.predicted,
            "probability": self.probability,
            "probabilities": dict(zip(self.classes, self.probabilities.tolist(), strict=True)),
        }
        if self.labels is not None:
            values["labels"] = list(self.labels)
        elif self.min_confidence:
            values["unsure"] = self.unsure
        if self.members is not None:
            values["set"] = list(self.members)
        return values | self._familiarity()

    def _interval(self) -> dict[str, Any]:
        return {} if self.ends is None else {"low": self.ends[0], "high": self.ends[1]}

    def _familiarity(self) -> dict[str, Any]:
        return {} if self.unfamiliar is None else {"unfamiliar": self.unfamiliar, "distance": self.distance}


@dataclass(frozen=True, slots=True)
class Doubts:
    """What lets a model report more than a class: that it is unsure, what else it could be, that the image is unfamiliar."""

    min_confidence: float = 0.0
    min_probability: float | None = None  # of the members of a conformal set
    familiarity: Familiarity | None = None
    intervals: NumberIntervals | None = None  # around numbers

    def predictions(
        self, paths: Sequence[str], classes: tuple[str, ...], vectors: np.ndarray, probabilities: np.ndarray, task: LearningTask
    ) -> Iterator[Prediction]:
        """A Prediction for each row of (n, n_features) vectors and (n, n_classes) probabilities."""
        distances = self.familiarity.distances(vectors) if self.familiarity else None
        return self.judged(paths, classes, probabilities, distances, task)

    def judged(
        self,
        paths: Sequence[str],
        classes: tuple[str, ...],
        probabilities: np.ndarray,
        of_images: np.ndarray | None,
        task: LearningTask,
    ) -> Iterator[Prediction]:
        """The same, where the (n,) distances from the training images are known; None if the model did not record these."""
        sets = task.sets(probabilities, self.min_probability) if self.min_probability is not None else None
        distances = None if of_images is None else of_images.tolist()
        ends = self.intervals.around(probabilities[:, 0]).tolist() if self.intervals is not None else None
        for i, (path, row) in enumerate(zip(paths, probabilities, strict=True)):
            yield Prediction(
                path,
                classes,
                row,
                min_confidence=self.min_confidence,
                members=tuple(classes[j] for j in sets[i]) if sets else None,
                distance=distances[i] if distances else None,
                unfamiliar=distances[i] > self.familiarity.threshold if distances and self.familiarity else None,
                task=task,
                ends=(ends[i][0], ends[i][1]) if ends else None,
            )


@dataclass(frozen=True, slots=True)
class Origin:
    """What a copy of a predictor in another process is made from."""

    files: Callable[[], Mapping[str, bytes]]  # of its bundle. Raises BundleError
    device: str


class Predictor:
    """Classifies images, preprocessed as in training. `Predictor.load(MODEL)` creates one.

    Threads may share it. A pickle of it holds the files of its bundle; loading it checks them, as it does those of a folder.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        preprocess: Preprocess,
        extractor: Extractor,
        head: Head,
        manifest: Manifest | None = None,
        doubts: Doubts | None = None,
        origin: Origin | None = None,
        task: LearningTask | None = None,
    ) -> None:
        self.classes = classes  # names, in the order of the probabilities
        self.preprocess = preprocess
        self.extractor = extractor
        self.head = head
        self.manifest = manifest  # None for a model that is not saved yet
        self.task = task or (_task_of(manifest) if manifest else SINGLE_LABEL)
        self.doubts = doubts or Doubts()
        self.origin = origin  # None if it cannot be copied into another process

    @classmethod
    @explains_missing_packages("predicting")
    def load(cls, model: AnyPath, device: str = "cpu", progress: Progress = silent) -> "Predictor":
        """The predictor of a bundle or run folder. On a CPU it runs the compiled form, and compiles it first if necessary.

        Raises BundleError.
        """
        return cls.of(read_bundle(Path(model)), device, progress)

    @classmethod
    def of(cls, bundle: Bundle, device: str = "cpu", progress: Progress = silent) -> "Predictor":
        """The predictor of a bundle whose files were checked. Raises BundleError."""
        manifest = bundle.manifest
        try:
            extractor, head = parts_of(bundle, device, progress)
        except BundleError:
            raise
        except HeadstartError as error:
            raise BundleError(f"{bundle.folder} cannot be used: {error.message}", hint=error.hint) from error
        origin = Origin(partial(bundle_files, bundle), device)
        return cls(manifest.classes, manifest.preprocess, extractor, head, manifest, _doubts_of(bundle, head), origin)

    def files(self) -> Mapping[str, bytes]:
        """The files of its bundle by name. Raises BundleError if they cannot be had."""
        if self.origin is None:
            raise BundleError("the model is not saved", hint="save it first")
        return self.origin.files()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (dict(self.files()), self.origin.device if self.origin else "cpu")

    def __copy__(self) -> "Predictor":
        copied = object.__new__(type(self))
        copied.__dict__ |= self.__dict__
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> "Predictor":
        return self.__copy__()  # its parts are never changed

    def answer(self, views: np.ndarray) -> np.ndarray:
        """(n, n_views, size, size, n_channels) uint8 views -> (n, n_classes) float64 probabilities."""
        return self.task.probabilities(self.head.logits(self.extractor.features(views)))

    def predict(self, images: GivenImages, workers: int | None = None) -> Iterator[Prediction]:
        """A Prediction for each image, in order, one by one; memory holds a few batches. One image gives one Prediction.

        An image is a path, a PIL image, a uint8 array (height, width, 3) in RGB, the bytes of an image file or an open file; an
        array (n, height, width, 3) is n images. In every form a picture gets the same answer. Raises DataError for what is
        none of these; a file that cannot be read gets a Prediction with its reason.
        """
        return self.predict_candidates(given_images(images), workers)

    def predict_candidates(
        self, candidates: Iterable[Candidate | ImageInMemory], workers: int | None = None
    ) -> Iterator[Prediction]:
        """The same for the candidates of a data set."""
        for candidate, opened in self._pipeline.run(candidates, workers):
            yield self._prediction(candidate.path, opened)

    def predict_bytes(self, files: Iterable[tuple[str, bytes]], max_pixels: int = MAX_PIXELS) -> list[Prediction]:
        """A Prediction for each (name, bytes of an image file), in order, computed in the calling thread; threads may call it.

        An image of more than `max_pixels` is not decoded.
        """
        named = list(files)
        opened = self._pipeline.run_here((data for _, data in named), max_pixels)
        return [self._prediction(name, one) for (name, _), one in zip(named, opened, strict=True)]

    @property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self.preprocess, self.extractor)

    def _prediction(self, path: str, opened: Opened) -> Prediction:
        if opened.vector is None:
            return Prediction(path, self.classes, None, opened.problem, fault=opened.fault)
        vectors = opened.vector[None]
        logits = self.head.logits(vectors)
        if not np.isfinite(logits).all():
            raise BundleError("the model's answers are not finite numbers", hint="train it again, at a lower learning rate")
        return next(self.doubts.predictions([path], self.classes, vectors, self.task.probabilities(logits), self.task))


@explains_missing_packages("predicting")
def _unpickled(files: Mapping[str, bytes], device: str) -> Predictor:
    """The predictor that was pickled. Without the GPU that it ran on, it runs on the CPU. Raises BundleError."""
    if device.startswith("cuda") and not has_cuda():
        warnings.warn(f"the model ran on {device}, which is not here: it runs on the CPU", HeadstartWarning, stacklevel=2)
        device = "cpu"
    with unpacked(files) as bundle:
        predictor = Predictor.of(bundle, device)
    predictor.origin = Origin(partial(dict, files), device)
    return predictor


def _task_of(manifest: Manifest) -> LearningTask:
    """The task of a saved model, with the thresholds of its labels."""
    if manifest.numbers is not None:
        return Numbers(manifest.numbers.mean, manifest.numbers.spread)
    task = task_named(manifest.task, manifest.classes)
    return task.with_thresholds([one.threshold for one in manifest.decisions.labels])


def _doubts_of(bundle: Bundle, head: Head) -> Doubts:
    decisions = bundle.manifest.decisions
    return Doubts(
        decisions.precision.min_confidence if decisions.precision else 0.0,
        decisions.conformal.min_probability if decisions.conformal else None,
        Familiarity.load(bundle.familiarity, head.weight.shape[1]) if decisions.familiarity else None,
        bundle.manifest.numbers.intervals if bundle.manifest.numbers else None,
    )
