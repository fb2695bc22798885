"""The result of fitting, before anything is written."""

from dataclasses import dataclass

import numpy as np

from headstart.audit.findings import Checked
from headstart.data.dataset import Dataset
from headstart.data.splits import Split, parted
from headstart.evaluation.cross_validation import CrossValidation
from headstart.evaluation.judging import evaluate_answers
from headstart.evaluation.label_thresholds import LabelThreshold
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.selection import corrected_accuracy
from headstart.fitting.answers import SplitAnswers
from headstart.fitting.choice import Choice
from headstart.fitting.scanned import Scanned
from headstart.model.extractor import Model
from headstart.model.familiarity import Familiarity
from headstart.model.history import Epoch
from headstart.recipes import CarriedOutPlan, ProbePlan
from headstart.settings import TrainSettings
from headstart.tasks.task import LearningTask


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, its data and its evaluation: everything needed to write a run."""

    scanned: Scanned
    split: Split
    model: Model
    history: tuple[Epoch, ...]
    best_epoch: int
    plan: ProbePlan | CarriedOutPlan  # all values of the training run, resolved
    answers: tuple[SplitAnswers, ...]  # the reported one first; empty if nothing was held out
    held_out: SplitAnswers | None  # for images not trained on: used to set temperature and thresholds
    familiarity: Familiarity
    temperature: float = 1.0  # by which the model's logits were divided
    curve: LearningCurve | None = None
    cross_validation: CrossValidation | None = None
    interrupted: bool = False
    refit: bool = False  # whether the network was also trained on val, after val was predicted
    notes: tuple[str, ...] = ()
    choice: Choice | None = None  # set if --strategy auto was requested
    checked: tuple[Checked, ...] = ()  # results of the cheap audit checks
    seconds: float = 0.0  # time that fitting took
    thresholds: tuple[LabelThreshold, ...] = ()  # of several labels

    @property
    def dataset(self) -> Dataset:
        """The images it was fitted and measured on."""
        return self.scanned.dataset

    @property
    def settings(self) -> TrainSettings:
        """The resolved settings: the strategy is never "auto"."""
        return self.choice.resolve(self.scanned.settings) if self.choice else self.scanned.settings

    @property
    def task(self) -> LearningTask:
        """What an answer of the model is."""
        return self.scanned.task.with_thresholds([one.threshold for one in self.thresholds])

    def set_on(self, held_out: SplitAnswers) -> str:
        """Which images thresholds and intervals were set on, in words: those of the `held_out` answers."""
        words = held_out.in_words()
        return words.replace("train", "train and val") if held_out.split == "cv" and self.refit else words

    def image_counts(self) -> dict[str, int]:
        """Split -> number of images."""
        return {name: len(rows) for name, rows in self.split.as_dict().items()}

    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Split -> number of images of each class; splits without images are left out."""
        splits = self.split.as_dict().items()
        return {name: tuple(self.dataset.class_counts(rows)) for name, rows in splits if len(rows)}

    def evaluate(self, answers: SplitAnswers) -> Evaluation:
        """Metrics of some of the answers; images of one group, including twins, are treated as related."""
        groups = self.scanned.groups[answers.indices]
        labels = self.dataset.labels[answers.indices]
        evaluation = evaluate_answers(
            answers.probabilities,
            labels,
            self.dataset.classes,
            split=answers.split,
            groups=groups,
            selected_on=answers.selected_on,
            views_chosen_on=int(self.scanned.compared_on[answers.indices].sum()),
            task=self.task,
            decided=answers.decided,
        ).model_copy(update={"leaked": int(self.leaked(answers).sum()), "unclear": int(self.unclear(answers).sum())})
        if answers.by_epoch is None or len(answers.by_epoch) < 2 or len(np.unique(groups)) < 2:
            return evaluation
        corrected = corrected_accuracy(self.task.are_right(answers.by_epoch, labels), groups)
        return evaluation.model_copy(update={"selection_corrected": corrected})

    def leaked(self, answers: SplitAnswers) -> np.ndarray:
        """(n,) bool: which answers are for images with a twin, or another of their group, among those that were trained on."""
        groups, split = self.scanned.groups, self.split
        if answers.split == "cv":  # folds keep groups together, except those that had to be divided
            rows = split.train
            divided = parted(self.dataset.labels[rows], groups[rows]) != groups[rows]
            return np.isin(answers.indices, rows[divided])
        return np.isin(groups[answers.indices], groups[self._trained_on(answers)])

    def unclear(self, answers: SplitAnswers) -> np.ndarray:
        """(n,) bool: which other answers are for images of a crowd that was trained on: copies, or only alike."""
        crowd = self.scanned.twins.crowd
        if not crowd.size:
            return np.zeros(len(answers.indices), bool)
        known = crowd[self._trained_on(answers)]
        return np.isin(crowd[answers.indices], known[known >= 0]) & ~self.leaked(answers)

    def _trained_on(self, answers: SplitAnswers) -> np.ndarray:
        with_val = self.refit and answers.split == "test"
        return np.concatenate([self.split.train, self.split.val]) if with_val else self.split.train

    def without_leaks(self, answers: SplitAnswers) -> SplitAnswers | None:
        """The answers that are neither leaked nor unclear, if some are; None if they have fewer than two classes, which says
        nothing.
        """
        kept = ~(self.leaked(answers) | self.unclear(answers))
        n_classes = len(np.unique(self.dataset.strata[answers.indices[kept]]))
        return None if kept.all() or n_classes < 2 else answers.only(kept)
