"""What a run hands over before anything is written."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.audit.copies import leaked
from headstart.audit.findings import Checked
from headstart.audit.twins import Twins
from headstart.data.dataset import Dataset
from headstart.data.splits import Split
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
from headstart.evaluation.selection import corrected_accuracy
from headstart.model.extractor import Model
from headstart.model.features import Work
from headstart.model.history import Epoch
from headstart.model.weights import WeightsFile


@dataclass(frozen=True, slots=True)
class Answers:
    """Probabilities for some images of the data set."""

    split: str  # "val", "test" or "cv"
    indices: np.ndarray  # (n,) int64, into Dataset.images
    probabilities: np.ndarray  # (n, n_classes) float64
    selected_on: bool
    by_epoch: np.ndarray | None = None  # (n_epochs, n) int64: what each epoch said, where the best was chosen by these images


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model and what its run found out on the way."""

    model: Model
    history: tuple[Epoch, ...]
    best_epoch: int
    plan: dict[str, Any]  # every number of the training, resolved
    answers: tuple[Answers, ...]  # the reported one first; none where nothing was held out
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

    def evaluate(self, answers: Answers) -> Evaluation:
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

    def without_leaks(self, answers: Answers) -> Answers | None:
        """The answers for images that have no twin in train; None where that is all of them, or none."""
        kept = ~np.isin(answers.indices, leaked(self.twins, self.dataset.images, answers.split))
        if kept.all() or not kept.any():
            return None
        by_epoch = None if answers.by_epoch is None else answers.by_epoch[:, kept]
        probabilities = answers.probabilities[kept]
        return replace(answers, indices=answers.indices[kept], probabilities=probabilities, by_epoch=by_epoch)
