"""ImageClassifier: a scikit-learn interface to training and prediction."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from headstart.artifact.predictor import Predictor
from headstart.data.catalog import open_data
from headstart.data.dataset import Dataset
from headstart.data.given import open_given
from headstart.data.reading import Reading
from headstart.data.sources import Candidate, Sources
from headstart.data.spellings import join_spellings, spelled_as
from headstart.errors import DataError, HeadstartWarning, SettingsError
from headstart.fitting.fit import fit
from headstart.fitting.fitted import Fitted
from headstart.fitting.scanned import scan_given
from headstart.fitting.strategy import choose
from headstart.record.account import known_limits
from headstart.record.decisions import decide
from headstart.record.run_files import write_model
from headstart.runs.evaluating import answer_labelled
from headstart.settings import TrainSettings
from headstart.storage import atomic_folder

Paths = str | Path | Iterable[str | Path]


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An image classifier based on transfer learning, for lists of paths or a folder of classes.

    The parameters are those of TrainSettings. A probe uses every image it is given; fine-tuning holds out `val_fraction` of
    them to choose its best epoch. `fit` sets `classes_` (n_classes,), sorted; `strategy_`; and `why_`, a sentence if "auto"
    chose the strategy.
    """

    def __init__(
        self,
        strategy: str = "auto",
        *,
        recipe: str = "default",
        backbone: str = "efficientnet_lite0",
        weights: str | Path | None = None,
        offline: bool = False,
        val: str | Path | None = None,
        test: str | Path | None = None,
        exclude: str | Path | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        join_case: bool = False,
        val_fraction: float = 0.2,
        augment: str | None = None,
        schedule: str | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        image_size: int | None = None,
        freeze: int | None = None,
        precision: str = "fp32",
        engine: str | None = None,
        device: str = "auto",
        workers: int | None = None,
        seed: int = 0,
        balance: bool = False,
        cv: str | None = None,
        time_budget: float = 300.0,
        target_precision: float | None = None,
        conformal: float | None = None,
        refit: bool = False,
    ) -> None:
        self.strategy = strategy
        self.recipe = recipe
        self.backbone = backbone
        self.weights = weights
        self.offline = offline
        self.val = val
        self.test = test
        self.exclude = exclude
        self.path_column = path_column
        self.label_column = label_column
        self.join_case = join_case
        self.val_fraction = val_fraction
        self.augment = augment
        self.schedule = schedule
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.image_size = image_size
        self.freeze = freeze
        self.precision = precision
        self.engine = engine
        self.device = device
        self.workers = workers
        self.seed = seed
        self.balance = balance
        self.cv = cv
        self.time_budget = time_budget
        self.target_precision = target_precision
        self.conformal = conformal
        self.refit = refit

    def fit(self, X: Paths, y: Sequence[Any] | None = None) -> "ImageClassifier":
        """Trains on a folder of classes (any form of DATA), or on paths with their labels. Returns self.

        Raises HeadstartError. A labelled path that cannot be read is an error here, because it was given explicitly.
        """
        settings = TrainSettings.of(**self.get_params())
        with ExitStack() as stack:
            if y is None:
                if not isinstance(X, str | Path):
                    raise SettingsError("fit needs labels for a list of paths", hint="use fit(paths, labels) or fit(folder)")
                sources = stack.enter_context(open_given(X, settings))
                names = np.unique([c.label for source in sources for c in source.candidates if c.label])
            elif any(given is not None for given in (self.val, self.test, self.exclude)):
                raise SettingsError("val, test and exclude need a folder, not a list of paths", hint="use fit(folder)")
            else:
                names = np.unique(np.asarray(y))
                sources = [_labelled_sources(X, y)]
                if settings.join_case:
                    sources = join_spellings(sources)
                    kept = {candidate.label for candidate in sources[0].candidates}
                    names = names[[str(name) in kept for name in names]]
            scanned = scan_given(sources, settings)
            if y is not None and scanned.dataset.skipped:
                first = scanned.dataset.skipped[0]
                raise DataError(f"{first.path} cannot be read: {first.reason}", hint="leave it out of the list")
            fitted = fit(scanned, choose(scanned), needs_answers=False)
        _warn_of(fitted.dataset, fitted.notes)
        if fitted.interrupted:
            message = f"training was interrupted: epoch {fitted.best_epoch}, the best so far, is kept"
            warnings.warn(message, HeadstartWarning, stacklevel=2)
        model = fitted.model
        predictor = Predictor(fitted.dataset.classes, model.preprocess, model.extractor, model.head)
        self._know(names, predictor, fitted.settings.strategy, fitted.choice.why if fitted.choice else "", fitted)
        return self

    def predict(self, X: Paths) -> np.ndarray:
        """(n,) the most probable class of each image, typed as the labels were. Raises DataError for an unreadable image."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Paths) -> np.ndarray:
        """(n, n_classes) float64 probabilities in the order of `classes_`. Raises DataError for an unreadable image."""
        check_is_fitted(self, "classes_")
        files = [X] if isinstance(X, str | Path) else list(X)
        rows = []
        for prediction in self._predictor.predict(files, self.workers):
            if prediction.probabilities is None:
                raise DataError(f"{prediction.path} cannot be read: {prediction.error}", hint="leave it out of the list")
            rows.append(prediction.probabilities)
        order = [self._predictor.classes.index(str(name)) for name in self.classes_]
        return np.stack(rows)[:, order] if rows else np.empty((0, len(order)))

    def score(self, X: Paths, y: Sequence[Any] | None = None, sample_weight: Any = None) -> float:
        """Accuracy on paths and labels, or on a folder of classes."""
        if y is None:
            if not isinstance(X, str | Path):
                raise SettingsError("score needs labels for a list of paths", hint="use score(paths, labels) or score(folder)")
            return self._score_folder(X)
        return float(accuracy_score(np.asarray(y), self.predict(X), sample_weight=sample_weight))

    def _score_folder(self, data: str | Path) -> float:
        check_is_fitted(self, "classes_")
        reading = Reading(self.path_column, self.label_column, self.join_case)
        with open_data(data, reading, offline=self.offline) as sources:
            if self.join_case:
                sources = spelled_as(sources, self._predictor.classes)
            answered = answer_labelled(self._predictor, sources, sources.candidates, self.workers)
        _warn_of(answered.dataset)
        return float(accuracy_score(answered.dataset.labels, answered.probabilities.argmax(axis=1)))

    def save(self, folder: str | Path) -> Path:
        """Writes the model as a bundle for `headstart predict` and `ImageClassifier.load`. Returns the folder."""
        check_is_fitted(self, "classes_")
        if self._fitted is None:
            raise SettingsError("a loaded model is already saved", hint="copy its folder")
        target, fitted = Path(folder), self._fitted
        if target.exists():
            raise SettingsError(f"{target} already exists", hint="choose another folder")
        reported = fitted.evaluate(fitted.answers[0]) if fitted.answers else None
        decisions = decide(fitted)
        with atomic_folder(target) as aside:
            write_model(aside, fitted, reported, decisions, known_limits(fitted, reported, decisions))
        return target

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "ImageClassifier":
        """The classifier of a bundle or run folder. Its labels are the class names. Raises BundleError."""
        predictor = Predictor.load(folder, device)
        manifest = predictor.manifest
        assert manifest is not None  # it was read from a folder
        classifier = cls(**dict(manifest.settings))
        classifier._know(np.unique(predictor.classes), predictor, manifest.strategy)
        return classifier

    def _know(
        self, names: np.ndarray, predictor: Predictor, strategy: str, why: str = "", fitted: Fitted | None = None
    ) -> None:
        """Sets all attributes of a fitted model, for both `fit` and `load`."""
        self.classes_, self.strategy_, self.why_ = names, strategy, why
        self._predictor, self._fitted = predictor, fitted


def _warn_of(dataset: Dataset, notes: Sequence[str] = ()) -> None:
    for note in (*dataset.notes, *notes):
        warnings.warn(note, HeadstartWarning, stacklevel=3)
    if dataset.skipped:
        first = dataset.skipped[0]
        message = f"{len(dataset.skipped)} files were skipped; the first is {first.path}: {first.reason}"
        warnings.warn(message, HeadstartWarning, stacklevel=3)


def _labelled_sources(X: Paths, y: Sequence[Any]) -> Sources:
    try:
        files = [Path(path) for path in X] if not isinstance(X, str | Path) else [Path(X)]
    except TypeError as error:
        raise DataError(f"the paths are not a flat list: {error}", hint="use fit(list_of_paths, labels)") from error
    if len(files) != len(y):
        raise DataError(f"there are {len(files)} paths and {len(y)} labels", hint="give one label per path")
    candidates = (Candidate(str(file), file, str(label)) for file, label in zip(files, np.asarray(y), strict=True))
    return Sources("images", tuple(candidates))
