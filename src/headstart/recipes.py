"""Choose every setting that the user left open, from facts about the data and the machine. Pure functions; nothing is measured.

The figures are for two CPU cores and EfficientNet-Lite0 unless stated otherwise.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from headstart.schema import Count, NotNegative, Positive, Schema, Share
from headstart.settings import Augment, Recipe, Schedule, TrainSettings

Rate = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(gt=0, le=1000)]

# Smallest and largest share of an image's area in a training crop. The tutorial's range is that of Szegedy et al. 2015. Milder
# crops keep the whole labelled object in the image: hand signs reached 0.993 after 4 epochs with crops from 0.6
# of the area, and 0.983 with crops from 0.35.
CROP_SCALES: dict[Recipe, tuple[float, float]] = {"default": (0.6, 1.0), "tutorial": (0.08, 1.0)}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts that a recipe can use."""

    n_train: int
    n_classes: int
    image_size: int  # side of the backbone's own input, pixels
    device: str  # "cpu", "cuda:0", "mps" ...
    bf16: bool  # the device computes in bfloat16 faster than in float32
    cores: int
    n_blocks: int = 0  # of the backbone, not counting the stem
    # The probe's log loss on held-out train images, as a share of the log loss of guessing (the log of n_classes).
    left_open: float = 0.0


class StepPlan(Schema):
    """How the weights are updated."""

    optimizer: Literal["adamw", "sgd"]
    schedule: Schedule
    epochs: Positive
    batch_size: Positive  # images per step
    micro_batch: Positive  # images computed at once, their gradients summed: sets the memory needed
    learning_rate: Rate  # peak rate of the body
    head_learning_rate: Rate
    weight_decay: NotNegative
    warmup_share: Share  # share of all steps during which the rate rises
    step_epochs: Positive  # schedule "step": epochs between drops to a tenth
    label_smoothing: Share
    clip_norm: Rate | None
    precision: Literal["fp32", "bf16", "fp16"]


class ViewPlan(Schema):
    """What the network sees of a training image."""

    augment: Augment
    crop_scale: tuple[Share, Share]  # smallest and largest share of the image's area in a training crop
    image_size: Positive  # side of the network's input, pixels


class NetworkPlan(Schema):
    """Which part of the network is trained, and from which start."""

    start: Literal["fitted head", "random head"]
    head_on: Literal["last layer", "all features"] = "all features"  # features that the trained head takes; before: all
    freeze: Count  # number of frozen blocks; the stem is frozen with them
    batch_norm: Literal["frozen", "train"]  # frozen: keep the pretrained running statistics


class TrainingPlan(Schema):
    """Every number of a training run, with nothing left open. In files its groups are one flat table."""

    strategy: Literal["probe", "finetune"]
    network: NetworkPlan
    steps: StepPlan
    views: ViewPlan
    best_by: Literal["accuracy, then loss", "accuracy", "loss"]
    balance: bool = False  # weight all classes equally, in training and in the choice of the best epoch
    workers: Positive
    seed: Count

    def with_epochs(self, epochs: int) -> "TrainingPlan":
        """The same plan with another number of epochs."""
        return self.model_copy(update={"steps": self.steps.model_copy(update={"epochs": epochs})})

    @model_serializer(mode="wrap")
    def _flat(self, as_nested: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = as_nested(self)
        for group in PLAN_GROUPS:
            values |= values.pop(group)
        return values


class CarriedOutPlan(TrainingPlan):
    """A plan and its result."""

    best_epoch: Count
    temperature: Temperature = 1.0


class LabelPlan(Schema):
    """The numbers of the probe of one of several labels, as those of a ProbePlan."""

    name: str
    strength: Rate
    temperature: Temperature
    stage_scale: Rate


class ProbePlan(Schema):
    """Every number of a fitted probe."""

    strategy: Literal["probe"] = "probe"
    strength: Rate  # inverse of the L2 penalty, like scikit-learn's C
    folds: Count  # of the cross-validation that chose the strength; 0: too few images
    stage_scale: Rate = 1.0  # standard deviation given to the features of earlier stages; that of the others is 1
    # (strength, held-out log loss) of each strength tried; of numbers the squared error, in variances
    held_out_log_loss: tuple[tuple[Rate, NotNegative], ...]
    temperature: Temperature = 1.0
    of_labels: tuple[LabelPlan, ...] = ()  # of several labels; `strength` and `stage_scale` are then their medians
    balance: bool = False
    image_size: Positive
    seed: Count


PLAN_GROUPS: dict[str, type[Schema]] = {"network": NetworkPlan, "steps": StepPlan, "views": ViewPlan}

FLAT_KEYS = (set(TrainingPlan.model_fields) - set(PLAN_GROUPS)) | {
    key for group in PLAN_GROUPS.values() for key in group.model_fields
}  # of a plan in a file


def grouped(flat: dict[str, Any]) -> dict[str, Any]:
    """The flat values of a TrainingPlan, as in files, sorted into its groups."""
    groups = {name: {key: flat[key] for key in group.model_fields if key in flat} for name, group in PLAN_GROUPS.items()}
    inside = {key for values in groups.values() for key in values}
    return {key: value for key, value in flat.items() if key not in inside} | groups


def plan_for(settings: TrainSettings, facts: RunFacts) -> TrainingPlan:
    """The plan for a run with gradient steps: the user's settings, and the recipe's choice for the rest."""
    return tutorial_plan(settings, facts) if settings.recipe == "tutorial" else finetune_plan(settings, facts)


def finetune_plan(settings: TrainSettings, facts: RunFacts) -> TrainingPlan:
    """Fine-tuning from the fitted head (LP-FT, Kumar et al. 2022): AdamW, a short warm-up, cosine to zero.

    The head takes the last layer's features alone. Training moves the outputs of earlier stages, which no later layer makes up
    for: with them in the head, hand signs fell from 0.968 to 0.803 in the first epoch and reached 0.985 after four, and 0.990
    without (docs/performance.md).
    """
    batch_size = settings.batch_size or default_batch_size(facts)
    learning_rate = settings.learning_rate or 2e-4 * (batch_size / 16) ** 0.5  # Adam's rate grows with the batch's square root
    epochs = settings.epochs or default_epochs(facts)
    freeze = default_freeze(facts) if settings.freeze is None else settings.freeze
    return TrainingPlan(
        strategy="finetune",
        network=NetworkPlan(start="fitted head", head_on="last layer", freeze=freeze, batch_norm="frozen"),
        steps=StepPlan(
            optimizer="adamw",
            schedule=settings.schedule or "cosine",
            epochs=epochs,
            batch_size=batch_size,
            micro_batch=min(batch_size, CPU_MICRO_BATCH) if facts.device == "cpu" else batch_size,
            learning_rate=learning_rate,
            head_learning_rate=learning_rate,  # five times as much makes the fitted head forget more than the body learns
            weight_decay=0.01,
            warmup_share=0.1,
            step_epochs=max(1, epochs // 3),
            # Without it the val loss of ants and bees doubles: the fitted head already knows train. Numbers have none.
            label_smoothing=0.0 if settings.task == "regression" else 0.1,
            clip_norm=1.0,
            precision=default_precision(facts),
        ),
        views=ViewPlan(
            augment=settings.augment or "standard",
            crop_scale=CROP_SCALES["default"],
            image_size=settings.image_size or facts.image_size,
        ),
        best_by="loss" if settings.task == "regression" else "accuracy, then loss",
        balance=settings.balance,
        workers=settings.workers or default_workers(facts.cores),
        seed=settings.seed,
    )


def tutorial_plan(settings: TrainSettings, facts: RunFacts) -> TrainingPlan:
    """The classic procedure, number by number (pytorch.org, "Transfer Learning for Computer Vision"), for both strategies."""
    learning_rate = settings.learning_rate or 0.001
    batch_size = settings.batch_size or 4
    return TrainingPlan(
        strategy="probe" if settings.strategy == "probe" else "finetune",
        network=NetworkPlan(start="random head", head_on="last layer", freeze=settings.freeze or 0, batch_norm="train"),
        steps=StepPlan(
            optimizer="sgd",
            schedule=settings.schedule or "step",
            epochs=settings.epochs or 25,
            batch_size=batch_size,
            micro_batch=batch_size,  # batch norm needs the whole batch
            learning_rate=learning_rate,
            head_learning_rate=learning_rate,
            weight_decay=0.0,
            warmup_share=0.0,
            step_epochs=7,
            label_smoothing=0.0,
            clip_norm=None,
            precision="fp32",
        ),
        views=ViewPlan(
            augment=settings.augment or "standard",
            crop_scale=CROP_SCALES["tutorial"],
            image_size=settings.image_size or 224,
        ),
        best_by="accuracy",
        balance=settings.balance,
        workers=settings.workers or default_workers(facts.cores),
        seed=settings.seed,
    )


# With frozen batch norm, an image's gradient does not depend on the rest of the batch: this changes the memory, not the result.
# Steps of 16 images took as long in pieces of 8 and of 4 as in one piece, and a third longer in pieces of 2. Peak memory
# was 1,613 MB in one piece, 1,332 MB in pieces of 8, and 1,198 MB in pieces of 4.
CPU_MICRO_BATCH = 4

MANY_VIEWS = 100_000  # from here on what channels_last_pays() says is worth its start
HARD = 0.3  # share of the log loss of guessing; above it the backbone's features do not suit the task


def default_epochs(facts: RunFacts) -> int:
    """Passes over train: few on a CPU, to finish in minutes, and nearly twice as many if the probe's loss is high.

    On two cores, hand signs (left_open 0.10) reached 0.993 after 4 epochs and did not improve after that; solar cells (0.49)
    reached 0.870 after 6 and 0.883 after 8. For ants and bees (0.18), no number of epochs beat the probe by more than one
    image.
    """
    if facts.device != "cpu":
        return 12 if facts.n_train < 2_000 else 8
    few = 4 if 600 <= facts.n_train < 3_000 else 3
    return 2 * few - 1 if facts.left_open > HARD else few


def default_batch_size(facts: RunFacts) -> int:
    """Images per step: enough steps for small sets, full use of a GPU for large ones."""
    if facts.device == "cpu" or facts.n_train < 1_000:
        return 16
    return 64 if facts.n_train >= 5_000 else 32


def default_freeze(facts: RunFacts) -> int:
    """Number of frozen blocks: on a CPU the first two fifths, which detect edges and textures common to all images.

    For EfficientNet-Lite0 that is 3 of 8: a step takes 11 ms per image instead of 24, and hand signs reach 0.993 instead of
    0.990 after four epochs (docs/performance.md).
    """
    return facts.n_blocks * 2 // 5 if facts.device == "cpu" else 0


def default_precision(facts: RunFacts) -> Literal["fp32", "bf16", "fp16"]:
    """Precision of the training steps only; validation and the saved model are always float32."""
    if facts.bf16:
        return "bf16"
    return "fp16" if facts.device.startswith("cuda") else "fp32"


def channels_last_pays(device: str, *, n_views: int) -> bool:
    """Whether convolutions are faster with channels last in memory, if a training sees so many views.

    With CUDA, cuDNN then takes 9 to 15 seconds to plan a training step for each new batch size (EfficientNet-Lite0 in bfloat16
    on an H200), and 0.2 to 0.6 seconds otherwise. A step takes about 0.2 ms a view less.
    """
    return not device.startswith("cuda") or n_views >= MANY_VIEWS


def default_workers(cores: int) -> int:
    """Decoding threads: one per core, but no more than a disk can feed."""
    return max(1, min(cores, 16))
