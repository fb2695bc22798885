"""The one list of training settings: names, defaults, limits and help texts. The command line and the estimator follow it."""

import re
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from headstart.errors import SettingsError, did_you_mean
from headstart.schema import PlainPath, Schema

Strategy = Literal["probe", "finetune", "auto"]
Recipe = Literal["default", "tutorial"]
Augment = Literal["standard", "no-flip", "none"]
Precision = Literal["fp32", "bf16"]
EngineChoice = Literal["onnxruntime", "openvino"]
Schedule = Literal["cosine", "one-cycle", "step", "constant"]


class TrainSettings(Schema):
    """Everything that changes what `train` computes. None means: decided by the recipe from the data and the hardware."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy = Field(
        "auto",
        description="probe: train only a new head on the frozen backbone; finetune: train the whole network from there; "
        "auto: the probe, or fine-tuning where it pays and the time allows.",
    )
    recipe: Recipe = Field(
        "default",
        description="tutorial: the classic procedure of the ants-and-bees tutorial, to compare with.",
    )
    backbone: str = Field("efficientnet_lite0", min_length=1, description="The pretrained network, or timm/<model name>.")
    weights: PlainPath | None = Field(None, description="Read the backbone's weights from this .safetensors or .pth file.")
    offline: bool = Field(False, description="Never touch the network.")
    val: PlainPath | None = Field(None, description="Validation images: any form of DATA.")
    test: PlainPath | None = Field(None, description="Test images, never selected on: any form of DATA.")
    exclude: PlainPath | None = Field(None, description="A table of paths to leave out (path, reason), as audit writes one.")
    val_fraction: float = Field(
        0.2, ge=0, le=0.9, description="Share of train held out for validation where there is no val; 0: none."
    )
    augment: Augment | None = Field(
        None, description="standard: crops and mirror images; no-flip: for digits, letters, left-from-right; none."
    )
    schedule: Schedule | None = Field(None, description="How the learning rate changes over the epochs.")
    epochs: int | None = Field(None, ge=1, le=10_000, description="Passes over train (finetune, tutorial).")
    learning_rate: float | None = Field(None, gt=0, le=100, description="The highest learning rate.")
    batch_size: int | None = Field(None, ge=1, le=4096, description="Images a training step.")
    image_size: int | None = Field(None, ge=32, le=1024, description="Side of the network's input in pixels.")
    freeze: int | None = Field(
        None, ge=0, le=1000, description="Keep the stem and the first N blocks as they are; 0: train all (finetune)."
    )
    precision: Precision = Field(
        "fp32",
        description="Of a probe's features on a CPU; bf16 (with OpenVINO) is faster and moves probabilities a little.",
    )
    engine: EngineChoice | None = Field(
        None, description="What computes features on a CPU: onnxruntime, or openvino, which bf16 needs."
    )
    device: str = Field("auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps ...")
    workers: int | None = Field(None, ge=1, le=256, description="Threads that decode images.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Same seed, same machine: same result.")
    balance: bool = Field(False, description="Count every class as equally frequent: for rare classes that matter as much.")
    cv: str | None = Field(
        None,
        description="Cross-validate a probe: 5x4 is 5 folds, 4 times over. Images need no val then.",
    )
    time_budget: float = Field(
        300.0, gt=0, allow_inf_nan=False, description="Seconds that --strategy auto may take before it writes the run."
    )
    target_precision: float | None = Field(
        None, gt=0, lt=1, description="Answer only where this share of the answers is right, and say unsure to the rest."
    )
    conformal: float | None = Field(
        None, gt=0, lt=1, description="Give each image a set of classes that holds the true one with this probability."
    )
    refit: bool = Field(
        False,
        description="Once the numbers are known, train the saved model on train and val together; test stays out.",
    )

    @field_validator("cv")
    @classmethod
    def _folds(cls, cv: str | None) -> str | None:
        if cv is not None and not re.fullmatch(r"([2-9]|[1-9]\d+)(x[1-9]\d*)?", cv):
            raise ValueError("such as 5x4: 5 folds, 4 times over; 2 folds or more")
        return cv

    @classmethod
    def of(cls, **values: Any) -> "TrainSettings":
        """Settings from plain values. Raises SettingsError, all wrong names or the first wrong value in one sentence."""
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
    def takes_steps(self) -> bool:
        """Whether a network is trained, not a head fitted."""
        return self.strategy == "finetune" or self.recipe == "tutorial"

    @property
    def folds_and_repeats(self) -> tuple[int, int]:
        """What `cv` says; 5 folds once where it says nothing."""
        n_folds, _, repeats = (self.cv or "5x1").partition("x")
        return int(n_folds), int(repeats or 1)


class RecordedSettings(TrainSettings):
    """Settings as a file recorded them; those of other versions, which this one does not know, are left out."""

    model_config = ConfigDict(extra="ignore")
