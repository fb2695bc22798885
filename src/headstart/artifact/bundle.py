"""The bundle: a folder with manifest.json and weights.safetensors, all that a prediction needs and all that is known of it.

Format 1. To change it: raise FORMAT, read the older formats in `read_manifest`, keep a bundle of each in the tests
(tests/kept).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, BundleError
from headstart.model.specs import find_backbone
from headstart.settings import Precision, TrainSettings
from headstart.storage import sha256_of_bytes, sha256_of_file, write_json

FORMAT = 1
Level = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]  # of channels scaled to 0 .. 1
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Deviation = Annotated[float, Field(ge=1e-4, le=100, allow_inf_nan=False)]
MANIFEST, WEIGHTS, FAMILIARITY = "manifest.json", "weights.safetensors", "familiarity.safetensors"
CARD = "README.md"  # the model card, written for people
DIGEST = "manifest_sha256"  # the key in manifest.json that holds the digest of all the others
RECORDED_PACKAGES = ("headstart", "numpy", "pillow", "torch", "torchvision", "timm", "scikit-learn", "safetensors")


class BackboneEntry(BaseModel):
    """Which pretrained network, and the very file its weights came from."""

    model_config = ConfigDict(frozen=True)

    name: str
    timm_name: str
    weights_sha256: Sha256
    weights_origin: str
    licence: str


class PreprocessEntry(BaseModel):
    """preprocess.Preprocess as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(ge=1, le=4096)
    resize_px: int = Field(ge=1, le=8192)
    interpolation: str = Field(pattern="^(bilinear|bicubic)$")
    mean: tuple[Level, Level, Level]
    std: tuple[Deviation, Deviation, Deviation]
    crop: str = Field(pattern="^(center|squash)$")
    decode_margin: float = Field(ge=0, le=100, allow_inf_nan=False)


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class PrecisionEntry(BaseModel):
    """evaluation.decisions.PrecisionThreshold as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_confidence: Share
    target: Share
    promised: bool
    precision: Share
    share_answered: Share
    n: int


class ConformalEntry(BaseModel):
    """evaluation.decisions.ConformalThreshold as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: Share
    min_probability: Share
    mean_size: float
    n: int


class FamiliarityEntry(BaseModel):
    """What familiarity.safetensors is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256  # of the file
    threshold: float  # distance above which an image is unfamiliar
    false_alarms: Share  # of images like those of training


class DecisionsEntry(BaseModel):
    """What the model says beside its probabilities."""

    model_config = ConfigDict(frozen=True)

    temperature: float = 1.0  # for the record: the last layer's weights are divided by it already
    set_on: str = ""  # which images, in words
    precision: PrecisionEntry | None = None
    conformal: ConformalEntry | None = None
    familiarity: FamiliarityEntry | None = None


class ParityEntry(BaseModel):
    """How an exported model answers compared with the original, from image file to label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int  # real ones, of the evaluation or given
    odd_images: int  # made on the spot
    same_label: Share
    max_difference: float  # of a probability
    accuracy_before: Share | None  # on those of known label; None without any
    accuracy_after: Share | None


class ExportEntry(BaseModel):
    """What an export folder holds in place of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(pattern="^(onnx|openvino)$")
    precision: str = Field(pattern="^(fp32|fp16|int8)$")
    file: str = Field(pattern=r"^model\.(onnx|xml)$")
    sha256: dict[str, Sha256]  # of each file
    parity: ParityEntry


class DataEntry(BaseModel):
    """The images of a run as its owner knows them."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    counts: dict[str, tuple[int, ...]] = {}  # split -> images of each class, in the order of the manifest's classes
    skipped: int = 0  # files that could not be read


class Manifest(BaseModel):
    """manifest.json."""

    model_config = ConfigDict(frozen=True)

    format: int = Field(ge=1)
    strategy: str
    requested: str = ""  # the strategy that was asked for: "auto", or the same
    recipe: str
    classes: tuple[str, ...] = Field(min_length=2)
    backbone: BackboneEntry
    preprocess: PreprocessEntry
    weights_sha256: Sha256  # of weights.safetensors
    settings: dict[str, Any]  # as asked for, but that --strategy auto has become what it chose
    plan: dict[str, Any]  # as resolved: every number of the training
    seed: int
    data: DataEntry = DataEntry()  # models of the first days do not say
    images: dict[str, tuple[Sha256, ...]]  # split -> SHA-256 of each image file's bytes
    evaluation: dict[str, Any]
    notes: tuple[str, ...] = ()  # what the run found that could be wrong, and what else is to be known; without paths
    decisions: DecisionsEntry = DecisionsEntry()  # models of the first days have none
    export: ExportEntry | None = None  # in an export folder alone
    refit: bool
    interrupted: bool
    versions: dict[str, str]
    created: str  # UTC, ISO 8601
    manifest_sha256: str = ""  # of all other keys; models of the first days have none

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("a class is named twice")
        return classes

    @field_validator("settings")
    @classmethod
    def _possible(cls, settings: dict[str, Any]) -> dict[str, Any]:
        TrainSettings.model_validate({name: value for name, value in settings.items() if name in TrainSettings.model_fields})
        return settings

    @property
    def has_pretrained_body(self) -> bool:
        """Whether all but the last layer is the backbone as it was pretrained; the tutorial's frozen batch norm moves."""
        return self.strategy == "probe" and self.recipe == "default"

    @property
    def precision(self) -> Precision:
        """The precision its features were computed, and are to be computed, in."""
        return "bf16" if self.has_pretrained_body and self.settings.get("precision") == "bf16" else "fp32"

    def preprocessing(self) -> Preprocess:
        """The Preprocess this model was trained with."""
        return Preprocess.from_json(self.preprocess.model_dump())


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest was read and checked."""

    folder: Path
    manifest: Manifest

    @property
    def weights(self) -> Path:
        """The file of all tensors of the network, last layer included."""
        return self.folder / WEIGHTS

    @property
    def familiarity(self) -> Path:
        """The file of what unfamiliar images are told by, where the manifest names one."""
        return self.folder / FAMILIARITY


def write_manifest(folder: Path, values: dict[str, Any]) -> Manifest:
    """Adds format, versions, time and the weights' digest to `values`, writes manifest.json and returns it."""
    manifest = Manifest(
        format=FORMAT,
        weights_sha256=sha256_of_file(folder / WEIGHTS),
        versions=installed_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        **values,
    )
    return save_manifest(folder, manifest)


def save_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Writes manifest.json with its own digest in it, and returns it."""
    values = manifest.model_dump(mode="json")
    values[DIGEST] = digest_of_manifest(values)
    write_json(folder / MANIFEST, values)
    return manifest.model_copy(update={DIGEST: values[DIGEST]})


def digest_of_manifest(values: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all keys of a manifest but DIGEST: sorted, without spaces, in UTF-8."""
    others = {name: value for name, value in values.items() if name != DIGEST}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_of_bytes(text.encode("utf-8", "surrogatepass"))  # a lone surrogate is no UTF-8, and no reason to fail here


def find_bundle(model: Path) -> Path:
    """The bundle's folder in what a user calls MODEL: a bundle or a run folder. Raises BundleError."""
    for folder in (model, model / "model"):
        if (folder / MANIFEST).is_file():
            return folder
    if not model.exists():
        raise BundleError(f"there is no {model}", hint="give the folder of a run, or the model folder in it")
    partial = model.name.endswith(".partial")
    raise BundleError(
        f"{model} holds no model: there is no {MANIFEST} in it",
        hint=f"the run was not finished: headstart train --resume {model}" if partial else "give the folder of a run",
    )


def read_bundle(model: Path) -> Bundle:
    """Reads and checks a bundle; nothing is built yet. Raises BundleError."""
    bundle = Bundle(folder := find_bundle(model), read_manifest(folder))
    check_files(bundle)
    return bundle


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle. Raises BundleError where it is no JSON, newer, damaged, or not as it was written."""
    file = folder / MANIFEST
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise BundleError(f"{file} is not a headstart manifest", hint="give the folder of a run")
    if found > FORMAT:
        raise BundleError(
            f"{folder} has format {found}; this headstart reads up to {FORMAT}", hint="pip install --upgrade headstart"
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{file} is damaged at {place}: {first['msg'].lower()}", hint="is the copy complete?") from error
    if manifest.manifest_sha256 and manifest.manifest_sha256 != digest_of_manifest(values):
        raise BundleError(f"{file} was changed after it was written", hint="copy the model again, or train it again")
    try:
        find_backbone(manifest.backbone.name)
    except BackboneError as error:
        raise BundleError(f"{file} names an unknown backbone: {error.message}", hint=error.hint) from error
    return manifest


def check_files(bundle: Bundle) -> tuple[str, ...]:
    """The names of the files that the manifest has the digest of. Raises BundleError where one is missing, or another."""
    manifest = bundle.manifest
    digests = {WEIGHTS: manifest.weights_sha256}
    if manifest.export:
        digests = {Path(name).name: sha256 for name, sha256 in manifest.export.sha256.items()}
    if manifest.decisions.familiarity:
        digests[FAMILIARITY] = manifest.decisions.familiarity.sha256
    for name, sha256 in digests.items():
        file = bundle.folder / name
        if not file.is_file():
            raise BundleError(f"{bundle.folder} has no {name}", hint="is the copy complete?")
        if sha256_of_file(file) != sha256:
            raise BundleError(f"{file} is not the file the manifest was written for", hint="copy the model again")
    return tuple(digests)


def installed_versions() -> dict[str, str]:
    """Versions of the packages that a result can depend on."""
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
