"""ImageRegressor: a scikit-learn interface to models whose answers are numbers."""

import os
import time
import warnings
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from headstart.artifact.predictor import Origin, Predictor
from headstart.data.catalog import open_data
from headstart.data.given import open_given
from headstart.data.given_images import GivenImages
from headstart.data.given_labels import given_numbers
from headstart.data.number_sources import with_numbers
from headstart.data.reading import Reading
from headstart.data.table_numbers import number_text
from headstart.deadline import Deadline
from headstart.errors import BundleError, HeadstartWarning, SettingsError
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.fitting.fit import fit
from headstart.fitting.scanned import scan_given
from headstart.fitting.strategy import choose
from headstart.record.number_account import number_account_of
from headstart.runs.estimator import ImageEstimator, check_same_number, files_of, labelled_sources, unreadable, warn_of
from headstart.runs.evaluating import answer_labelled
from headstart.settings import Boxes, Effort, TrainSettings
from headstart.storage import AnyPath


class ImageRegressor(RegressorMixin, ImageEstimator):  # type: ignore[misc]
    """A model of numbers in images based on transfer learning, for lists of paths or a table.

    The parameters are those of TrainSettings that suit `--task regression`. A probe uses every image it is given; fine-tuning
    holds out `val_fraction` of them to choose its best epoch. `fit` sets `strategy_`, and `intervals_`: the NumberIntervals
    around answers, None if there were too few images.
    """

    def __init__(
        self,
        strategy: str = "auto",
        *,
        backbone: str = "efficientnet_lite0",
        weights: AnyPath | None = None,
        offline: bool = False,
        val: AnyPath | None = None,
        test: AnyPath | None = None,
        exclude: AnyPath | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        boxes: Boxes = "auto",
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
        time_budget: float | None = None,
        conformal: float | None = None,
        refit: bool = False,
    ) -> None:
        self.strategy = strategy
        self.backbone = backbone
        self.weights = weights
        self.offline = offline
        self.val = val
        self.test = test
        self.exclude = exclude
        self.path_column = path_column
        self.label_column = label_column
        self.boxes = boxes
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
        self.time_budget = time_budget
        self.conformal = conformal
        self.refit = refit

    def fit(self, X: GivenImages, y: Any = None) -> "ImageRegressor":
        """Trains on a table with numbers as labels (any form of DATA), or on images with their numbers. Returns self.

        Images are paths, or are in memory in any form that `predict` takes; numbers are (n,). Raises HeadstartError, also for
        an image that cannot be read, because it was given explicitly.
        """
        settings = TrainSettings.of(task="regression", **self.get_params())
        deadline = Deadline(settings.seconds_allowed, time.perf_counter())
        with ExitStack() as stack:
            if y is None:
                if not isinstance(X, str | os.PathLike):
                    raise SettingsError("fit needs numbers for images", hint="use fit(images, numbers) or fit(table)")
                sources = stack.enter_context(open_given(os.fspath(X), settings))
            elif any(given is not None for given in (self.val, self.test, self.exclude)):
                raise SettingsError("val, test and exclude need a table, not a list of images", hint="use fit(table)")
            else:
                sources = [with_numbers(labelled_sources(X, [number_text(number) for number in given_numbers(y)], stack))]
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
        self._know(predictor, fitted.settings.strategy, number_account_of(fitted).decisions.intervals)
        return self

    def predict(self, X: GivenImages) -> np.ndarray:
        """(n,) float64: the number of each image; n is 1 for one image. Images are given as to ImageClassifier.predict.

        Raises DataError for what is no image, and for an unreadable one.
        """
        return np.array([row[0] for row in self._answers(X, self.workers)], np.float64)

    def predict_interval(self, X: GivenImages) -> np.ndarray:
        """(n, 2) float64: the ends of the interval around each answer.

        They hold the true number of a share of `conformal` of the images, without that of 0.9. Raises SettingsError if there
        were too few images to set them on, and DataError.
        """
        numbers = self.predict(X)
        if self.intervals_ is None:
            raise SettingsError("there are no intervals: too few unrelated images were held out", hint="fit more images")
        return self.intervals_.around(numbers)

    def score(self, X: GivenImages, y: Any = None, sample_weight: Any = None) -> float:
        """R2 on images and numbers, or on a table. Raises DataError."""
        if y is None:
            if not isinstance(X, str | os.PathLike):
                raise SettingsError("score needs numbers for images", hint="use score(images, numbers) or score(table)")
            return self._score_table(os.fspath(X))
        numbers, predicted = given_numbers(y), self.predict(X)
        check_same_number(len(predicted), len(numbers))
        return float(r2_score(numbers, predicted, sample_weight=sample_weight))

    def _score_table(self, data: str) -> float:
        reading = Reading(self.path_column, self.label_column, numbers=True, boxes=self.boxes)
        with open_data(data, reading, offline=self.offline) as sources:
            numbered = with_numbers(sources)
            answered = answer_labelled(self._predictor, numbered, numbered.candidates, self.workers)
        warn_of(answered.dataset)
        return float(r2_score(answered.dataset.labels, answered.probabilities[:, 0]))

    @classmethod
    def load(cls, folder: AnyPath, device: str = "cpu") -> "ImageRegressor":
        """The regressor of a bundle or run folder. Raises BundleError."""
        predictor = Predictor.load(folder, device)
        manifest = predictor.manifest
        assert manifest is not None  # it was read from a folder
        if manifest.numbers is None:
            raise BundleError(f"{folder} answers with classes", hint="use ImageClassifier.load")
        known = cls().get_params()
        regressor = cls(**{name: value for name, value in dict(manifest.settings).items() if name in known})
        regressor._know(predictor, manifest.strategy, manifest.numbers.intervals)
        return regressor

    def _know(self, predictor: Predictor, strategy: str, intervals: NumberIntervals | None) -> None:
        """Sets all attributes of a fitted model, for both `fit` and `load`."""
        self.strategy_, self.intervals_ = strategy, intervals
        self._predictor = predictor
