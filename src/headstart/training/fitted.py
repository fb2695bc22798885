"""What a run hands over before anything is written."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.splits import Split
from headstart.evaluation.metrics import Evaluation, evaluate_predictions
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

    def evaluate(self, labels: np.ndarray, classes: tuple[str, ...]) -> Evaluation:
        """Metrics against the labels of the whole data set."""
        return evaluate_predictions(
            self.probabilities, labels[self.indices], classes, split=self.split, selected_on=self.selected_on
        )


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
    weights: WeightsFile
    seconds: dict[str, float]  # stage -> seconds
    work: Work  # what the pass over the files had to do
