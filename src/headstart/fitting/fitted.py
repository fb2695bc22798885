"""What a run hands over before anything is written."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.audit.copies import leaked
from headstart.audit.findings import Checked
from headstart.audit.twins import Twins
from headstart.data.dataset import Dataset
from headstart.data.splits import Split
from headstart.evaluation.cross_validation import CrossValidation
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.selection import corrected_accuracy
from headstart.fitting.choice import Choice
from headstart.model.extractor import Model
from headstart.model.familiarity import Familiarity
from headstart.model.features import Work
from headstart.model.history import Epoch
from headstart.model.weights import WeightsFile
from headstart.settings import Strategy, TrainSettings


@dataclass(frozen=True, slots=True)
class SplitAnswers:
    """Probabilities for some images of the data set."""

    split: str  # "val", "test" or "cv"
    indices: np.ndarray  # (n,) int64, into Dataset.images
    probabilities: np.ndarray  # (n, n_classes) float64
    selected_on: bool
    by_epoch: np.ndarray | None = None  # (n_epochs, n) int64: what each epoch said, where the best was chosen by these images
    uncalibrated: np.ndarray | None = None  # (n, n_classes) float64: before the temperature
    # The same at temperatures fitted on other images, where the model's own was fitted on these.
    calibrated_apart: np.ndarray | None = None
    temperature: float = 1.0  # that these were answered at

    def in_words(self) -> str:
        """Which images these are."""
        return {"cv": "train, each answered by a model without it", "val": "val", "test": "test"}[self.split]

    def only(self, kept: np.ndarray) -> "SplitAnswers":
        """The answers for some of the images, given as (n,) bool."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[kept]

        return replace(
            self,
            indices=self.indices[kept],
            probabilities=self.probabilities[kept],
            by_epoch=None if self.by_epoch is None else self.by_epoch[:, kept],
            uncalibrated=of(self.uncalibrated),
            calibrated_apart=of(self.calibrated_apart),
        )


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model and what its run found out on the way."""

    model: Model
    history: tuple[Epoch, ...]
    best_epoch: int
    plan: dict[str, Any]  # every number of the training, resolved
    answers: tuple[SplitAnswers, ...]  # the reported one first; none where nothing was held out
    held_out: SplitAnswers | None  # for images that the model did not learn from: what temperature and thresholds are set on
    familiarity: Familiarity
    temperature: float = 1.0  # that the model's logits were divided by
    curve: LearningCurve | None = None
    cross_validation: CrossValidation | None = None
    interrupted: bool = False
    refit: bool = False  # the network was trained on val too, after val was answered
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted network with the data it came from: all that is needed to write a bundle."""

    fitted: Fitted
    dataset: Dataset
    split: Split
    groups: np.ndarray  # (n_images,) int64: what belongs together, twins among it
    twins: Twins  # no pair of these is divided by a split made here; a split that came with the data may divide them
    checked: tuple[Checked, ...]  # what the cheap checks of an audit say
    weights: WeightsFile
    seconds: dict[str, float]  # stage -> seconds
    work: Work  # what the pass over the files had to do
    settings: TrainSettings  # as resolved: the strategy is never "auto"
    requested: Strategy
    choice: Choice | None = None  # where "auto" was requested

    def image_counts(self) -> dict[str, int]:
        """Split -> number of images."""
        return {name: len(rows) for name, rows in self.split.as_dict().items()}

    def class_counts(self) -> dict[str, list[int]]:
        """Split -> number of images of each class; splits without images are left out."""
        labels, n_classes = self.dataset.labels, len(self.dataset.classes)
        splits = self.split.as_dict().items()
        return {name: np.bincount(labels[rows], minlength=n_classes).tolist() for name, rows in splits if len(rows)}

    def evaluate(self, answers: SplitAnswers) -> Evaluation:
        """Metrics of some of the answers; images of one group, twins among them, count as alike."""
        groups = self.groups[answers.indices]
        labels = self.dataset.labels[answers.indices]
        evaluation = evaluate_predictions(
            answers.probabilities,
            labels,
            self.dataset.classes,
            split=answers.split,
            groups=groups,
            selected_on=answers.selected_on,
        )
        if answers.by_epoch is None or len(answers.by_epoch) < 2 or len(np.unique(groups)) < 2:
            return evaluation
        return replace(evaluation, corrected=corrected_accuracy(answers.by_epoch == labels, groups))

    def without_leaks(self, answers: SplitAnswers) -> SplitAnswers | None:
        """The answers for images that have no twin in train; None where that is all of them, or none."""
        kept = ~np.isin(answers.indices, leaked(self.twins, self.dataset.images, answers.split))
        return None if kept.all() or not kept.any() else answers.only(kept)
