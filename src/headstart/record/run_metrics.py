"""metrics.json: the numbers of a run, and what `train --json` and `evaluate --json` print."""

from typing import Literal

from headstart.evaluation.calibration import Calibration
from headstart.evaluation.cross_validation import CrossValidation
from headstart.evaluation.learning_curve import LearningCurve
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.thresholds import PromiseCheck
from headstart.fitting.choice import Choice
from headstart.record.decisions import DecisionsReport
from headstart.schema import Count, Name, NotNegative, Schema, Sha256, Share
from headstart.settings import Recipe, Strategy


class BackboneName(Schema):
    """Which pretrained network, and the digest of its weights."""

    name: Name
    weights_sha256: Sha256


class MetricsFrame(Schema):
    """What the numbers of a run and those of an evaluation have in common. New keys may be added; none is ever renamed."""

    format: Literal[1] = 1
    strategy: Literal["probe", "finetune"]
    requested: Strategy  # the strategy that was asked for
    recipe: Recipe
    backbone: BackboneName
    classes: tuple[Name, ...]
    images: dict[str, Count]  # split, or "skipped" -> number of images
    evaluation: Evaluation
    notes: tuple[str, ...]
    seconds: dict[str, NotNegative]  # "total" since the process was started, and stages
    peak_rss_mb: NotNegative
    interrupted: bool
    run: str | None
    model: str


class RunMetrics(MetricsFrame):
    """metrics.json."""

    choice: Choice | None  # of --strategy auto
    without_leaks: Evaluation | None
    other_evaluations: tuple[Evaluation, ...]
    calibration: Calibration | None
    cross_validation: CrossValidation | None
    learning_curve: LearningCurve | None
    decisions: DecisionsReport | None
    best_epoch: Count
    refit: bool
    working_folder: str  # where relative paths in predictions.csv begin


class KeptPromises(PromiseCheck):
    """Whether a model's thresholds keep their promises, and how many images it calls unfamiliar."""

    unfamiliar: Share | None


class EvaluationMetrics(MetricsFrame):
    """What `evaluate --json` prints."""

    decisions: KeptPromises
