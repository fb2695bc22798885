"""ImageClassifier: a scikit-learn interface to training and prediction."""

import os
import time
import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from headstart.artifact.predictor import Origin, Predictor
from headstart.data.catalog import open_data
from headstart.data.given import open_given
from headstart.data.given_images import GivenImages
from headstart.data.given_label_sets import given_label_sets
from headstart.data.given_labels import given_labels, name_of_label
from headstart.data.label_sets import label_matrix, labels_in
from headstart.data.reading import Reading
from headstart.data.spellings import join_spellings, spelled_as
from headstart.deadline import Deadline
from headstart.errors import BundleError, DataError, HeadstartWarning, SettingsError
from headstart.fitting.fit import fit
from headstart.fitting.scanned import scan_given
from headstart.fitting.strategy import choose
from headstart.runs.estimator import ImageEstimator, check_same_number, files_of, labelled_sources, unreadable, warn_of
from headstart.runs.evaluating import answer_labelled
from headstart.settings import Boxes, Effort, TrainSettings
from headstart.storage import AnyPath


class ImageClassifier(ClassifierMixin, ImageEstimator):  # type: ignore[misc]
    """An image classifier based on transfer learning, for lists of paths or a folder of classes.

    The parameters are those of TrainSettings. A probe uses every image it is given; fine-tuning holds out `val_fraction` of
    them to choose its best epoch. `fit` sets `classes_` (n_classes,), sorted; `strategy_`; and `why_`, a sentence if "auto"
    chose the strategy.
    """

    def __init__(
        self,
        strategy: str = "auto",
        *,
        task: str = "single-label",
        grades: str | None = None,
        recipe: str = "default",
        backbone: str = "efficientnet_lite0",
        weights: AnyPath | None = None,
        offline: bool = False,
        val: AnyPath | None = None,
        test: AnyPath | None = None,
        exclude: AnyPath | None = None,
        labels: AnyPath | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        boxes: Boxes = "auto",
        join_case: bool = False,
        val_fraction: float = 0.2,
        augment: str | None = None,
        schedule: str | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        effort: Effort = "normal",
        view: str | None = None,
        channels: str | None = None,
        every: str | None = None,
        stages: bool = True,
        image_size: int | None = None,
        freeze: int | None = None,
        precision: str = "fp32",
        engine: str | None = None,
        workplace: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        seed: int = 0,
        balance: bool = False,
        cv: str | None = None,
        time_budget: float | None = None,
        target_precision: float | None = None,
        target_recall: float | None = None,
        conformal: float | None = None,
        refit: bool = False,
    ) -> None:
        self.strategy = strategy
        self.task = task
        self.grades = grades
        self.recipe = recipe
        self.backbone = backbone
        self.weights = weights
        self.offline = offline
        self.val = val
        self.test = test
        self.exclude = exclude
        self.labels = labels
        self.path_column = path_column
        self.label_column = label_column
        self.boxes = boxes
        self.join_case = join_case
        self.val_fraction = val_fraction
        self.augment = augment
        self.schedule = schedule
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.effort = effort
        self.view = view
        self.channels = channels
        self.every = every
        self.stages = stages
        self.image_size = image_size
        self.freeze = freeze
        self.precision = precision
        self.engine = engine
        self.workplace = workplace
        self.device = device
        self.workers = workers
        self.seed = seed
        self.balance = balance
        self.cv = cv
        self.time_budget = time_budget
        self.target_precision = target_precision
        self.target_recall = target_recall
        self.conformal = conformal
        self.refit = refit

    def fit(self, X: GivenImages, y: Any = None) -> "ImageClassifier":
        """Trains on a folder of classes (any form of DATA), or on images with their labels. Returns self.

        Images are paths, or are in memory in any form that `predict` takes. Labels are text or numbers, and `classes_` keeps
        their type. Raises HeadstartError, also for an image that cannot be read, because it was given explicitly.
        """
        settings = TrainSettings.of(**self.get_params())
        if settings.task == "regression":
            raise SettingsError("ImageClassifier tells classes apart", hint="use ImageRegressor for numbers")
        deadline = Deadline(settings.seconds_allowed, time.perf_counter())
        with ExitStack() as stack:
            if y is None:
                if not isinstance(X, str | os.PathLike):
                    raise SettingsError("fit needs labels for images", hint="use fit(images, labels) or fit(folder)")
                sources = stack.enter_context(open_given(os.fspath(X), settings))
                texts = [c.label for source in sources for c in source.candidates if c.label]
                names = np.array(labels_in(texts)) if settings.task == "multi-label" else np.unique(texts)
            elif any(given is not None for given in (self.val, self.test, self.exclude, self.labels)):
                raise SettingsError("val, test, exclude and labels need a folder, not a list of images", hint="use fit(folder)")
            elif isinstance(X, str | os.PathLike) and Path(X).is_dir():
                raise SettingsError(f"{X} is a folder, and its labels are its class folders", hint="use fit(folder)")
            elif settings.task == "multi-label":
                given = given_label_sets(y)
                names, sources = given.names, [replace(labelled_sources(X, given.texts, stack), several=True)]
            else:
                names, rows = np.unique(given_labels(y), return_inverse=True)
                sources = [labelled_sources(X, [name_of_label(names[row]) for row in rows], stack)]
                if settings.join_case:
                    sources = join_spellings(sources)
                    kept = {candidate.label for candidate in sources[0].candidates}
                    names = names[[name_of_label(name) in kept for name in names]]
            scanned = scan_given(sources, settings)
            if y is not None and scanned.dataset.skipped:
                first = scanned.dataset.skipped[0]
                raise unreadable(first.path, first.reason)
            fitted = fit(scanned, choose(scanned, deadline), needs_answers=False, deadline=deadline)
        warn_of(fitted.dataset, fitted.notes)
        if fitted.interrupted:
            message = f"training was interrupted: epoch {fitted.best_epoch}, the best so far, is kept"
            warnings.warn(message, HeadstartWarning, stacklevel=2)
        model, origin = fitted.model, Origin(partial(files_of, fitted), "cpu" if self.device == "cpu" else "auto")
        predictor = Predictor(
            fitted.dataset.classes, model.preprocess, model.extractor, model.head, origin=origin, task=fitted.task
        )
        if settings.task == "multi-label":  # labels that no image has are not learnt
            names = names[[name_of_label(name) in predictor.classes for name in names]]
        self._know(names, predictor, fitted.settings.strategy, fitted.choice.why if fitted.choice else "")
        return self

    def predict(self, X: GivenImages) -> np.ndarray:
        """(n,) the class of each image, typed as the labels were; n is 1 for one image. With task="multi-label" it is
        (n, n_classes) int64, 1 for each label that is said and 0 for others, as scikit-learn has it.

        An image is a path, a PIL image, a uint8 array (height, width, 3) in RGB, the bytes of an image file or an open file; an
        array (n, height, width, 3) is n images. Raises DataError for what is none of these, and for an unreadable image.
        """
        probabilities = self.predict_proba(X)
        if not self._predictor.task.has_one_answer:  # the thresholds are in the order of the predictor's labels
            decided = self._predictor.task.decide(probabilities[:, np.argsort(self._order)])
            return decided[:, self._order].astype(np.int64)
        return self.classes_[self._predictor.task.decide(probabilities)]

    @property
    def _order(self) -> list[int]:
        """For each of `classes_` its place among the predictor's classes."""
        return [self._predictor.classes.index(name_of_label(name)) for name in self.classes_]

    def predict_proba(self, X: GivenImages) -> np.ndarray:
        """(n, n_classes) float64 probabilities in the order of `classes_`, for what `predict` takes. Raises DataError."""
        rows = self._answers(X, self.workers)
        return np.stack(rows)[:, self._order] if rows else np.empty((0, len(self.classes_)))

    def score(self, X: GivenImages, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy on images and labels, or on a folder of classes; of several labels all must be right. Raises DataError."""
        check_is_fitted(self, "classes_")
        if y is None:
            if not isinstance(X, str | os.PathLike):
                raise SettingsError("score needs labels for images", hint="use score(images, labels) or score(folder)")
            return self._score_folder(os.fspath(X))
        if not self._predictor.task.has_one_answer:
            return self._score_sets(X, y, sample_weight)
        labels, predicted = given_labels(y), self.predict(X)
        check_same_number(len(predicted), len(labels))
        if (labels.dtype.kind in "biuf") != (self.classes_.dtype.kind in "biuf"):
            raise DataError(
                f"the label {labels.tolist()[0]!r} is of another type than the class {self.classes_.tolist()[0]!r}",
                hint="a saved model knows its classes as text: [str(label) for label in labels]",
            )
        return float(accuracy_score(labels, predicted, sample_weight=sample_weight))

    def _score_sets(self, X: GivenImages, y: Any, sample_weight: Any) -> float:
        given = given_label_sets(y)
        names = [name_of_label(name) for name in self.classes_]
        if given.are_columns and not set(names) <= {str(column) for column in given.names}:  # columns of labels with names
            given = given_label_sets(y, names)
        predicted = self.predict(X)
        check_same_number(len(predicted), len(given.texts))
        right = self._predictor.task.are_right(predicted == 1, label_matrix(given.texts, names))
        return float(np.average(right, weights=sample_weight))

    def _score_folder(self, data: str) -> float:
        several, nested = self.task == "multi-label", self.task == "nested"
        reading = Reading(self.path_column, self.label_column, self.join_case, several=several, nested=nested, boxes=self.boxes)
        with open_data(data, reading, offline=self.offline) as sources:
            if self.join_case:
                sources = spelled_as(sources, self._predictor.classes)
            answered = answer_labelled(self._predictor, sources, sources.candidates, self.workers)
        warn_of(answered.dataset)
        return float(self._predictor.task.right(answered.probabilities, answered.dataset.labels).mean())

    @classmethod
    def load(cls, folder: AnyPath, device: str = "cpu") -> "ImageClassifier":
        """The classifier of a bundle or run folder. Its labels are the class names. Raises BundleError."""
        predictor = Predictor.load(folder, device)
        manifest = predictor.manifest
        assert manifest is not None  # it was read from a folder
        if manifest.numbers is not None:
            raise BundleError(f"{folder} answers with numbers", hint="use ImageRegressor.load")
        classifier = cls(**dict(manifest.settings))
        names = np.unique(predictor.classes) if predictor.task.has_one_answer else np.array(predictor.classes)
        classifier._know(names, predictor, manifest.strategy)
        return classifier

    def _know(self, names: np.ndarray, predictor: Predictor, strategy: str, why: str = "") -> None:
        """Sets all attributes of a fitted model, for both `fit` and `load`."""
        if predictor.task.name == "ordinal":  # from the lowest grade to the highest; other classes are sorted
            names = names[np.argsort([predictor.classes.index(name_of_label(name)) for name in names])]
        self.classes_, self.strategy_, self.why_ = names, strategy, why
        self._predictor = predictor
