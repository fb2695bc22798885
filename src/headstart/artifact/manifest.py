"""manifest.json: all that is known about a model. It is read strictly, because a model may come from anybody.

Format 4. Format 3 has no several labels and no numbers. Format 2 has no task: its classes are single labels. Format 1 has one
view of each image, called `crop`, and no stages. To change it: raise FORMAT, teach `_upgraded` the older formats, and keep a
model of each in tests/kept.
"""

import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_serializer, field_validator, model_validator

from headstart.channels import COLOURS
from headstart.data.images import DECODING
from headstart.data.preprocess import Preprocess, upgraded_preprocess
from headstart.data.sources import LabelsUsed
from headstart.errors import BackboneError, BundleError
from headstart.evaluation.label_thresholds import LabelThreshold
from headstart.evaluation.metrics import Evaluation
from headstart.evaluation.number_evaluation import NumberEvaluation
from headstart.evaluation.number_intervals import NumberIntervals
from headstart.evaluation.number_metrics import NumbersSeen
from headstart.evaluation.thresholds import ConformalThreshold, PrecisionThreshold
from headstart.model.exported import ExportFormat, ExportPrecision
from headstart.model.extractor import ONNX_RUNTIME, Engine
from headstart.model.specs import find_backbone
from headstart.recipes import CarriedOutPlan, ProbePlan, Temperature, grouped
from headstart.schema import Count, Name, NotNegative, Schema, Sha256, Share, parse_json
from headstart.settings import RecordedSettings, TaskName, upgraded_settings
from headstart.storage import sha256_of_bytes, write_json

FORMAT: Literal[4] = 4
MANIFEST = "manifest.json"
DIGEST = "manifest_sha256"  # the key in manifest.json whose value is the digest of all others
RECORDED_PACKAGES = (
    "headstart",
    "numpy",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "scikit-learn",
    "safetensors",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
)

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
SplitName = Literal["train", "val", "test"]


class BackboneEntry(Schema):
    """The pretrained network, and the exact file its weights came from."""

    name: Name
    timm_name: Name
    weights_sha256: Sha256
    weights_origin: str
    licence: str
    stages: tuple[Name, ...] = ()  # whose outputs are features too, besides the last layer; format 1 has none


class FamiliarityEntry(Schema):
    """How familiarity.safetensors is used."""

    sha256: Sha256  # of the file
    threshold: Annotated[float, Field(ge=0, le=2)]  # distance above which an image is unfamiliar
    false_alarms: Share  # share of images like those of training that are called unfamiliar


class DecisionsEntry(Schema):
    """What the model reports besides its probabilities."""

    temperature: Temperature = 1.0  # for the record: the last layer's weights are already divided by it
    set_on: str = ""  # on which images, in words
    precision: PrecisionThreshold | None = None
    conformal: ConformalThreshold | None = None
    labels: tuple[LabelThreshold, ...] = ()  # of several labels, in the order of the classes
    familiarity: FamiliarityEntry | None = None


class ParityEntry(Schema):
    """How an exported model's answers compare with the original's, from image file to label."""

    images: Count  # real images, from the evaluation or given
    odd_images: Count  # generated images
    same_label: Share
    max_difference: NotNegative  # between probabilities; of numbers in standard deviations of those of the training images
    accuracy_before: Share | None  # on images with known labels; None without any
    accuracy_after: Share | None

    def difference(self, *, of_numbers: bool) -> str:
        """How far answers differ at most, in words."""
        return difference_in_words(self.max_difference, of_numbers=of_numbers)


def difference_in_words(most: float, *, of_numbers: bool) -> str:
    """How far answers of two models differ at most."""
    return (
        f"numbers differ by at most {most:.1e} standard deviations"
        if of_numbers
        else f"probabilities differ by at most {most:.1e}"
    )


class ExportEntry(Schema):
    """What an export folder contains instead of the weights."""

    format: ExportFormat
    precision: ExportPrecision
    file: Literal["model.onnx", "model.xml", "model.tflite"]
    sha256: dict[FileName, Sha256]  # of each file
    parity: ParityEntry

    @model_validator(mode="after")
    def _names_its_file(self) -> Self:
        if self.file not in self.sha256:
            raise ValueError(f"sha256 has no digest for {self.file}")
        return self


class DataEntry(Schema):
    """The images of a run, as their owner knows them."""

    name: str = ""
    # Split -> number of images of each class, in the order of the manifest's classes.
    counts: dict[SplitName, tuple[Count, ...]] = Field(default_factory=dict)
    skipped: Count = 0  # files that could not be read
    labels: LabelsUsed | None = None  # of the project of --labels; None if the labels are those of the data


class NumbersEntry(Schema):
    """What only a model has whose answers are numbers. The network's output is a number less `mean`, in parts of `spread`."""

    mean: float
    spread: Annotated[float, Field(gt=0)]
    seen: NumbersSeen  # of the training images
    evaluation: NumberEvaluation | None = None  # None if no images were held out
    intervals: NumberIntervals | None = None  # around an answer; None: too few images
    intervals_promised: bool = True  # not if the best epoch was chosen on the images that they were set on


class ExtendsEntry(Schema):
    """The finished run whose images and classes this one was trained on too."""

    manifest_sha256: Sha256  # of its manifest, whose own entry says what that one extends
    weights_sha256: Sha256  # of its weights.safetensors
    images: Count  # of it that are among these
    # Of several labels those that it, or a run that it extends, did not know: of its images they are not known unless said.
    added_labels: tuple[Name, ...] = ()


def _kind_of_plan(plan: Any) -> str:
    """Which plan it is, so that what is wrong with it is said of that one."""
    return "finetune" if isinstance(plan, CarriedOutPlan) or (isinstance(plan, dict) and "steps" in plan) else "probe"


Plan = Annotated[
    Annotated[ProbePlan, Tag("probe")] | Annotated[CarriedOutPlan, Tag("finetune")],
    Discriminator(_kind_of_plan),
]


class Manifest(Schema):
    """manifest.json."""

    format: Literal[1, 2, 3, 4] = FORMAT
    strategy: Literal["probe", "finetune"]
    requested: Literal["probe", "finetune", "auto", ""] = ""  # the strategy that the user asked for
    task: TaskName = "single-label"
    recipe: Literal["default", "tutorial"]
    classes: tuple[Name, ...] = Field(min_length=1)  # grades from the lowest to the highest; of numbers what they are called
    backbone: BackboneEntry
    preprocess: Preprocess
    engine: Engine = ONNX_RUNTIME  # what its answers were computed with, and should be computed with
    weights_sha256: Sha256  # of weights.safetensors
    settings: RecordedSettings  # as given, except that --strategy auto is replaced by its choice
    plan: Plan  # every number of the training, as resolved
    seed: Count
    data: DataEntry = DataEntry()  # the earliest models do not have it
    images: dict[SplitName, tuple[Sha256, ...]]  # SHA-256 of each image file's bytes
    # The class of each of these, as its place in `classes`; empty in models of earlier versions.
    image_classes: dict[SplitName, tuple[Count, ...]] = Field(default_factory=dict)
    # The labels of each of these images as the text of a LabelSet, where they have any number; or their numbers, as text.
    image_labels: dict[SplitName, tuple[Name, ...]] = Field(default_factory=dict)
    extends: ExtendsEntry | None = None  # the run that was added to
    selected_on_val: bool  # whether the val images chose the epoch
    evaluation: Evaluation | None  # None if no images were held out, and where answers are numbers
    numbers: NumbersEntry | None = None  # None where answers are classes
    notes: tuple[str, ...] = ()  # possible problems that the run found, and other remarks; without paths
    decisions: DecisionsEntry = DecisionsEntry()  # the earliest models have none
    export: ExportEntry | None = None  # only in an export folder
    refit: bool
    interrupted: bool
    versions: dict[str, str]
    created: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T[0-9:.+Z-]+$")]  # UTC, ISO 8601
    manifest_sha256: Sha256 | Literal[""] = ""  # of all other keys; the earliest models have none

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("a class is named twice")
        if (info.data.get("task") == "regression") != (len(classes) == 1):
            raise ValueError("classes must have two or more names; of numbers one")
        return classes

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.preprocess.n_channels > COLOURS and not self.preprocess.channels:
            raise ValueError("preprocess does not say which channels its images have")
        if (self.numbers is not None) != (self.task == "regression"):
            raise ValueError("numbers must be there for regression, and for nothing else")
        if any(len(counts) != len(self.classes) for counts in self.data.counts.values()):
            raise ValueError("data.counts does not have one number per class")
        if self.evaluation is not None and tuple(c.name for c in self.evaluation.per_class) != self.classes:
            raise ValueError("evaluation has other classes")
        if self.decisions.labels and tuple(one.name for one in self.decisions.labels) != self.classes:
            raise ValueError("decisions.labels has other labels than classes")
        if self.decisions.labels and self.task != "multi-label":
            raise ValueError("decisions.labels must be there for several labels, and for nothing else")
        if any(len(labels) != len(self.images.get(name, ())) for name, labels in self.image_labels.items()):
            raise ValueError("image_labels does not have the labels of each image")
        for name, classes in self.image_classes.items():
            if len(classes) != len(self.images.get(name, ())) or max(classes, default=0) >= len(self.classes):
                raise ValueError("image_classes does not have a class for each image")
        return self

    @field_serializer("evaluation")
    def _none_is_empty(self, evaluation: Evaluation | None) -> dict[str, Any]:
        return {} if evaluation is None else evaluation.as_json()

    @property
    def has_pretrained_body(self) -> bool:
        """Whether all but the last layer is the pretrained backbone; the tutorial's batch norm changes even in a frozen one."""
        return self.strategy == "probe" and self.recipe == "default"


def new_manifest(**values: Any) -> Manifest:
    """A new manifest: `values` with the package versions and the current time."""
    return Manifest(versions=installed_versions(), created=datetime.now(UTC).isoformat(timespec="seconds"), **values)


def save_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Writes manifest.json with its own digest, and returns the manifest."""
    values = manifest.model_copy(update={"format": FORMAT}).as_json()
    values[DIGEST] = digest_of_manifest(values)
    write_json(folder / MANIFEST, values)
    return manifest.model_copy(update={"format": FORMAT, DIGEST: values[DIGEST]})


def digest_of_manifest(values: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all keys of a manifest except DIGEST: sorted, without spaces, in UTF-8."""
    others = {name: value for name, value in values.items() if name != DIGEST}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_of_bytes(text.encode("utf-8", "surrogatepass"))  # a lone surrogate is not UTF-8, but must not fail here


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle. Raises BundleError if it is not JSON, newer, damaged, or changed since it was written."""
    file = folder / MANIFEST
    try:
        values = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise BundleError(f"{file} is not a headstart manifest", hint="give the folder of a run")
    if found > FORMAT:
        raise BundleError(
            f"{folder} has format {found}; this version of headstart reads up to {FORMAT}",
            hint="pip install --upgrade headstart",
        )
    preprocess = values.get("preprocess")
    if isinstance(preprocess, dict) and isinstance(preprocess.get("decoding"), int) and preprocess["decoding"] > DECODING:
        raise BundleError(
            f"{folder} decodes images in a way that this version of headstart does not know",
            hint="pip install --upgrade headstart",
        )
    try:
        manifest = Manifest.from_json(_upgraded(values))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file} is damaged at {error}", hint="is the copy complete?") from error
    if manifest.manifest_sha256 and manifest.manifest_sha256 != digest_of_manifest(values):
        raise BundleError(f"{file} was changed after it was written", hint="copy the model again, or train it again")
    try:
        find_backbone(manifest.backbone.name)
    except BackboneError as error:
        raise BundleError(f"{file} names an unknown backbone: {error.message}", hint=error.hint) from error
    return manifest


def installed_versions() -> dict[str, str]:
    """Versions of the packages that a result can depend on."""
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The values, with what earlier versions did not record. A value of a wrong type stays, to be refused later."""
    new = dict(values)
    plan, evaluation, settings = (values.get(key) for key in ("plan", "evaluation", "settings"))
    if isinstance(plan, dict):
        new.setdefault("selected_on_val", "best_by" in plan)
        if "optimizer" in plan:
            new["plan"] = grouped(plan)
    if isinstance(evaluation, dict):
        new["evaluation"] = {"n_groups": evaluation.get("n"), **evaluation} if evaluation else None
    if isinstance(new.get("preprocess"), dict):
        new["preprocess"] = upgraded_preprocess({"decoding": 1, **new["preprocess"]})
    if "settings" in values:
        new["settings"] = upgraded_settings(settings)
    if "engine" not in values and isinstance(settings, dict) and settings.get("precision") == "bf16":
        is_probe = (values.get("strategy"), values.get("recipe")) == ("probe", "default")
        new["engine"] = {"name": "openvino", "precision": "bf16"} if is_probe else ONNX_RUNTIME.as_json()
    return new
