"""The one list of training settings: names, defaults, limits and help texts. The command line and the estimator follow it."""

import math
import re
from typing import Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from headstart.channels import channels_of
from headstart.errors import SettingsError, did_you_mean
from headstart.schema import PlainPath, Schema
from headstart.workplace import workplace_of

Strategy = Literal["probe", "finetune", "auto"]
Recipe = Literal["default", "tutorial"]
Augment = Literal["standard", "no-flip", "none"]
Precision = Literal["fp32", "bf16"]
TaskName = Literal["single-label", "ordinal", "nested", "multi-label", "regression"]
Effort = Literal["quick", "normal", "thorough"]
EngineChoice = Literal["onnxruntime", "openvino"]
Schedule = Literal["cosine", "one-cycle", "step", "constant"]
AUTO_SECONDS = 300.0  # that --strategy auto may take by default
Boxes = Literal["auto", "pixels", "shares", "none"]
Cut = Literal["crop", "whole", "pad"]  # ways to make a square of a picture


class TrainSettings(Schema):
    """Everything that changes what `train` computes. None: the recipe decides from the data and the hardware."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy = Field(
        "auto",
        description="probe: train only a new head on the frozen backbone; finetune: then train the whole network; "
        "auto: the probe, or fine-tuning if it pays off and there is time.",
    )
    task: TaskName = Field(
        "single-label",
        description="What an answer is. single-label: one of the classes; ordinal: one of several grades in an order, where an "
        "answer can be a little or far off; nested: one of the classes of a tree, such as animals/insects/bees, where an "
        "answer can stop at animals/insects; multi-label: any number of labels, from a table; "
        "regression: a number, with an interval around it.",
    )
    grades: str | None = Field(
        None,
        min_length=1,
        description="The grades of --task ordinal from the lowest to the highest, if they are not numbers: a,b,c.",
    )
    recipe: Recipe = Field(
        "default",
        description="tutorial: the classic procedure of the ants-and-bees tutorial, for comparison.",
    )
    backbone: str = Field("efficientnet_lite0", min_length=1, description="The pretrained network, or timm/<model name>.")
    weights: PlainPath | None = Field(None, description="Read the backbone's weights from this .safetensors or .pth file.")
    offline: bool = Field(False, description="Never download anything.")
    val: PlainPath | None = Field(None, description="Validation images, in any form that DATA can have.")
    test: PlainPath | None = Field(
        None, description="Test images, never used to choose anything, in any form that DATA can have."
    )
    exclude: PlainPath | None = Field(
        None, description="A table of images to leave out (columns path and reason), such as audit writes."
    )
    labels: PlainPath | None = Field(
        None, description="The project of a studio, whose labels and exclusions count before those that DATA came with."
    )
    path_column: str | None = Field(None, min_length=1, description="The column of a table with the paths of the images.")
    label_column: str | None = Field(None, min_length=1, description="The column of a table with the labels.")
    boxes: Boxes = Field(
        "auto",
        description="What the boxes of a table or a COCO file are written in: pixels, or shares of the picture's width and "
        "height; auto: found out from the numbers; none: such columns are not boxes.",
    )
    join_case: bool = Field(
        False,
        description="Join classes whose names differ only in letter case or spaces, under the most frequent name.",
    )
    val_fraction: float = Field(
        0.2, ge=0, le=0.9, description="Share of the training images to hold out if there are no validation images; 0: none."
    )
    augment: Augment | None = Field(
        None, description="standard: crops and mirroring; no-flip: no mirroring, for digits, letters, left and right; none."
    )
    schedule: Schedule | None = Field(None, description="How the learning rate changes over the epochs.")
    epochs: int | None = Field(None, ge=1, le=10_000, description="Passes over the training images (finetune, tutorial).")
    learning_rate: float | None = Field(None, gt=0, le=100, description="The peak learning rate.")
    batch_size: int | None = Field(None, ge=1, le=4096, description="Images per training step.")
    effort: Effort = Field(
        "normal",
        description="How many passes through the network an image may take: quick: one; normal: about two, if that pays; "
        "thorough: four, unless fewer are better. More passes make training and predictions slower.",
    )
    view: str | None = Field(
        None,
        description="What the network sees of an image: crop, whole, pad, or several of these as in crop+whole+mirrored; "
        "if not given, it is found out on some training images.",
    )
    channels: str | None = Field(
        None,
        description="What becomes the image of a file with several pages, planes, times or channels: page=3, z=max, t=0, "
        "c=0,2,1, with + between them; all count from 0. Of 4 to 32 that are listed the network sees all. And what is black "
        "and white: levels=0..4095, or window=1..99 for these percentiles of the training images.",
    )
    every: str | None = Field(
        None,
        description="Take frames of videos as images: 25 is each 25th frame, 2s is one in two seconds. Those of one video stay "
        "together in a split.",
    )
    stages: bool = Field(
        True, description="Use the outputs of the network's later stages as features too, besides those of its last layer."
    )
    image_size: int | None = Field(None, ge=32, le=1024, description="Side of the network's input in pixels.")
    freeze: int | None = Field(
        None, ge=0, le=1000, description="Freeze the stem and the first N blocks; 0: train everything (finetune)."
    )
    precision: Precision = Field(
        "fp32",
        description="Precision of a probe's features on a CPU; bf16 (needs OpenVINO) is faster and changes probabilities "
        "slightly.",
    )
    engine: EngineChoice | None = Field(
        None, description="The library that computes features on a CPU: onnxruntime, or openvino, which bf16 needs."
    )
    workplace: str | None = Field(
        None,
        exclude=True,  # it changes nothing in the result, and may be an address in somebody's network
        description="Or where images are read and their features computed: local:4 is in so many processes of this machine, "
        "ray or ray:ADDRESS on a Ray cluster, where --strategy finetune also trains. May be given twice, with a library and a "
        "place.",
    )
    device: str = Field("auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps ...")
    workers: int | None = Field(None, ge=1, le=256, description="Number of threads that decode images.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="The same seed on the same machine gives the same result.")
    balance: bool = Field(
        False, description="Weight all classes equally, for rare classes that matter as much as frequent ones."
    )
    cv: str | None = Field(
        None,
        description="Cross-validate a probe: 5x4 is 5 folds, repeated 4 times. No validation images are needed then.",
    )
    time_budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that the whole run may take; without it 300 for --strategy auto, and no limit for the others.",
    )
    target_precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of answers that must be right; the model says unsure if it is not certain enough. Of several labels "
        "it is that of each label: a label is said only where it is certain enough.",
    )
    target_recall: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the images with a label that must get it, for each label of --task multi-label; without this and "
        "--target-precision each threshold has the best F1.",
    )
    conformal: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Give each image a set of classes that contains the true one with this probability; of several labels, a "
        "set that holds this share of the true ones on average; of numbers an interval, without this of 0.9.",
    )
    refit: bool = Field(
        False,
        description="After the evaluation, train the saved model on train and val together; test stays out.",
    )

    @field_validator("workplace")
    @classmethod
    def _place(cls, workplace: str | None) -> str | None:
        if workplace is not None:
            workplace_of(workplace)
        return workplace

    @field_validator("cv")
    @classmethod
    def _folds(cls, cv: str | None) -> str | None:
        if cv is not None and not re.fullmatch(r"([2-9]|[1-9]\d+)(x[1-9]\d*)?", cv):
            raise ValueError("write it as 5x4: 5 folds, repeated 4 times; at least 2 folds")
        return cv

    @field_validator("view")
    @classmethod
    def _views(cls, view: str | None) -> str | None:
        parts = ("crop" if view is None else view).split("+")
        cuts = [part for part in parts if part != "mirrored"]
        if not cuts or set(cuts) - set(get_args(Cut)) or len(set(parts)) < len(parts):
            raise ValueError("one of crop, whole and pad, or several with + between them; mirrored adds their mirror images")
        return view

    @field_validator("every")
    @classmethod
    def _every(cls, every: str | None) -> str | None:
        if every is not None and not re.fullmatch(r"[1-9][0-9]{0,6}|(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,3})?s", every):
            raise ValueError("write 25 for each 25th frame, or 2s for one in two seconds")
        return every

    @field_validator("channels")
    @classmethod
    def _channels(cls, channels: str | None) -> str | None:
        return None if channels is None else channels_of(channels).text or None

    @field_validator("grades")
    @classmethod
    def _grades(cls, grades: str | None) -> str | None:
        names = [] if grades is None else [name.strip() for name in grades.split(",")]
        if grades is not None and (len(names) < 2 or not all(names) or len(set(names)) < len(names)):
            raise ValueError("name two or more different grades with commas between them, the lowest first")
        return grades

    @model_validator(mode="after")
    def _grades_are_ordinal(self) -> Self:
        if self.grades is not None and self.task != "ordinal":
            raise SettingsError("--grades are those of --task ordinal", hint="add --task ordinal")
        return self

    @model_validator(mode="after")
    def _fits_several_labels(self) -> Self:
        several = self.task == "multi-label"
        if self.target_recall is not None and not several:
            raise SettingsError("--target-recall is for --task multi-label", hint="--target-precision is for every task")
        if several and self.target_recall is not None and self.target_precision is not None:
            raise SettingsError("a threshold keeps --target-precision or --target-recall, not both", hint="give one of them")
        if several and self.join_case:
            raise SettingsError("--join-case is not for --task multi-label", hint="write each label in one way in the table")
        if several and self.balance:
            raise SettingsError("--balance is not for --task multi-label", hint="each label has a threshold of its own already")
        return self

    @model_validator(mode="after")
    def _fits_numbers(self) -> Self:
        if self.task != "regression":
            return self
        for name, is_given, instead in (
            ("--balance", self.balance, "leave it out: numbers have no classes"),
            ("--join-case", self.join_case, "leave it out: numbers have no spellings"),
            (
                "--target-precision",
                self.target_precision is not None,
                "--conformal 0.9 sets how often intervals hold the truth",
            ),
            ("--cv", self.cv is not None, "leave it out: --val-fraction 0 reports the error by cross-validation"),
            ("--labels", self.labels is not None, "a project of the studio has classes: give the table with the numbers"),
            ("--recipe tutorial", self.recipe == "tutorial", "leave it out: the tutorial tells classes apart"),
        ):
            if is_given:
                raise SettingsError(f"{name} is not for --task regression", hint=instead)
        return self

    @classmethod
    def of(cls, **values: Any) -> "TrainSettings":
        """Settings from plain values. Raises SettingsError, which names all unknown settings or the first wrong value."""
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            raise SettingsError(
                f"there is no setting called {', '.join(unknown)}",
                hint=did_you_mean(unknown[0], list(cls.model_fields)),
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"--{name.replace('_', '-')} cannot be {first['input']!r}",
                hint=first["msg"].removeprefix("Value error, ").lower(),
            ) from error

    @property
    def listed_grades(self) -> tuple[str, ...]:
        """The grades, from the lowest to the highest; none if they are to be read off their names."""
        return tuple(name.strip() for name in self.grades.split(",")) if self.grades else ()

    @property
    def seconds_allowed(self) -> float:
        """Seconds that the run may take; infinity if there is no limit."""
        if self.time_budget is None:
            return AUTO_SECONDS if self.strategy == "auto" else math.inf
        return self.time_budget

    @property
    def takes_steps(self) -> bool:
        """Whether the network is trained in gradient steps, instead of a head being fitted."""
        return self.strategy == "finetune" or self.recipe == "tutorial"

    @property
    def is_on_ray(self) -> bool:
        """Whether a Ray cluster computes."""
        return self.workplace is not None and workplace_of(self.workplace).kind == "ray"

    @property
    def folds_and_repeats(self) -> tuple[int, int]:
        """The folds and repeats that `cv` asks for; 5 folds once if it is not set."""
        n_folds, _, repeats = (self.cv or "5x1").partition("x")
        return int(n_folds), int(repeats or 1)


class RecordedSettings(TrainSettings):
    """Settings as recorded in a file; settings of other versions that this one does not know are ignored."""

    model_config = ConfigDict(extra="ignore")


def upgraded_settings(values: Any) -> Any:
    """The JSON values of settings; earlier versions had the backbone's own view and the features of the last layer alone."""
    return {"effort": "quick", "stages": False, **values} if isinstance(values, dict) and "stages" not in values else values
