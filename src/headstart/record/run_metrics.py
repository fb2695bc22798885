"""The schema of metrics.json, `train --json` and `evaluate --json`."""

from typing import Literal

from headstart.data.sources import LabelsUsed
from headstart.evaluation.calibration import Calibration
from headstart.evaluation.cross_validation import CrossValidation
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.evaluation.reviewed import Reviewed
from headstart.evaluation.thresholds import PromiseCheck
from headstart.fitting.choice import Choice
from headstart.fitting.earlier import DataPlace
from headstart.fitting.view_choice import ViewChoice
from headstart.record.decisions import DecisionsReport
from headstart.record.extension import ExtensionReport
from headstart.schema import Count, Name, NotNegative, Schema, Sha256, Share
from headstart.settings import Recipe, Strategy


class BackboneName(Schema):
    """Which pretrained network, and the digest of its weights."""

    name: Name
    weights_sha256: Sha256


class MetricsFrame(Schema):
    """The keys that a run and an evaluation share. New keys may be added, but none may be renamed."""

    format: Literal[1] = 1
    strategy: Literal["probe", "finetune"]
    requested: Strategy  # the strategy the user asked for
    recipe: Recipe
    backbone: BackboneName
    classes: tuple[Name, ...]
    images: dict[str, Count]  # split, or "skipped" -> number of images
    labels: LabelsUsed | None = None  # of the project of --labels; None if the labels are those of the data
    notes: tuple[str, ...]
    seconds: dict[str, NotNegative]  # "total" since the process started, and each stage
    peak_rss_mb: NotNegative
    interrupted: bool
    run: str | None
    model: str


class RunMetrics(MetricsFrame):
    """The content of metrics.json."""

    evaluation: Evaluation
    choice: Choice | None  # of --strategy auto
    views: ViewChoice  # what the network sees of each image
    without_leaks: Evaluation | None
    other_evaluations: tuple[Evaluation, ...]
    calibration: Calibration | None
    cross_validation: CrossValidation | None
    learning_curve: LearningCurve | None
    decisions: DecisionsReport | None
    best_epoch: Count
    refit: bool
    working_folder: str  # the folder that relative paths in predictions.csv start from
    data: tuple[DataPlace, ...] = ()  # where the images were; none in runs of earlier versions
    extended: ExtensionReport | None = None  # what adding to a finished run changed


class NumberRunMetrics(MetricsFrame):
    """The content of metrics.json of a run whose answers are numbers."""

    number: Name  # what they are called
    evaluation: NumberEvaluation
    choice: Choice | None  # of --strategy auto
    views: ViewChoice  # what the network sees of each image
    without_leaks: NumberEvaluation | None
    other_evaluations: tuple[NumberEvaluation, ...]
    seen: NumbersSeen  # the numbers of the training images
    intervals: NumberIntervals | None  # around answers; None: too few images
    intervals_set_on: str  # which images, in words
    intervals_promised: bool
    cross_validation: None = None
    best_epoch: Count
    refit: bool
    working_folder: str  # the folder that relative paths in predictions.csv start from
    data: tuple[DataPlace, ...] = ()  # where the images were
    extended: ExtensionReport | None = None  # what adding to a finished run changed


AnyRunMetrics = RunMetrics | NumberRunMetrics


class NumberEvaluationMetrics(MetricsFrame):
    """What `evaluate --json` prints of a model whose answers are numbers."""

    number: Name  # what they are called
    evaluation: NumberEvaluation
    unfamiliar: Share | None  # the share of images that are unlike those of training


class KeptPromises(PromiseCheck):
    """Whether a model's thresholds keep their promises, and the share of images it calls unfamiliar."""

    unfamiliar: Share | None


class EvaluationMetrics(MetricsFrame):
    """What `evaluate --json` prints."""

    evaluation: Evaluation
    decisions: KeptPromises
    reviewed: Reviewed | None = None  # the accuracy with wrong labels taken out; None without --review
