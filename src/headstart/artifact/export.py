"""A model as one file for other programs, kept only if it answers as the original does."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.artifact.bundle import FAMILIARITY, Bundle, read_bundle
from headstart.artifact.bundled_network import compiled_form
from headstart.artifact.card import write_card
from headstart.artifact.manifest import MANIFEST, ExportEntry, Manifest, ParityEntry, save_manifest
from headstart.artifact.predictor import Predictor
from headstart.artifact.run_images import PREDICTIONS, RunImage, evaluated_images
from headstart.data.odd_images import odd_images
from headstart.data.preprocess import Preprocess
from headstart.data.wording import in_digits
from headstart.errors import BundleError, SettingsError
from headstart.model.engines import OUTPUT
from headstart.model.exported import (
    FILES,
    HEAD,
    Ending,
    ExportFormat,
    ExportPrecision,
    answers_of,
    as_half_precision,
    as_int8,
    exported_engine,
    write_head,
    write_onnx,
    write_openvino,
)
from headstart.model.extractor import as_input
from headstart.model.litert_operators import write_litert
from headstart.progress import Progress, silent
from headstart.storage import AnyPath, atomic_folder, sha256_of_file
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask, Link

WEB_MODEL = "model.json"  # in an export for browsers
ENDINGS: dict[Link, Ending] = {"softmax": "Softmax", "sigmoid": "Sigmoid", "identity": "Identity"}
TOLERANCE = 1e-4  # of a probability, in full precision
MAX_PROOFS = 500  # real images that the two models are compared on
CALIBRATION_IMAGES = 100  # on which the ranges of int8 are measured


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was kept."""

    folder: Path
    file: Path
    parity: ParityEntry
    of_numbers: bool = False  # whether its answers are numbers


@dataclass(frozen=True, slots=True)
class _Proof:
    """An image that both models answer."""

    name: str
    views: np.ndarray  # (1, n_views, size, size, n_channels) uint8
    label: str  # "": not known
    is_odd: bool = False


def export_model(
    model: AnyPath,
    output: AnyPath,
    *,
    format: ExportFormat = "onnx",
    precision: ExportPrecision = "fp32",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Writes `output` with the model in a format, manifest.json, the model card and what else a prediction needs.

    The exported file and the original classify the same images: those of the run's predictions.csv that can be found, and a few
    generated ones. In full precision the labels must be the same and the probabilities within 1e-4; otherwise BundleError is
    raised and nothing is written. What less precision costs is measured, for int8 on other images than its ranges come from.
    """
    place = Path(output)
    check_output(place, overwrite=overwrite)
    bundle = bundle_to_export(Path(model))
    if format != "onnx" and precision == "int8":
        raise SettingsError("int8 is for ONNX", hint="--format onnx, or --precision fp16")
    predictor = Predictor.load(model, progress=progress)
    real = list(_real_proofs(Path(model), bundle, predictor))
    n_ranges = min(CALIBRATION_IMAGES, len(real) // 2) if precision == "int8" else 0  # the others measure its cost
    if precision == "int8" and not n_ranges:
        raise SettingsError(
            "int8 needs images that the run was evaluated on", hint="give the run folder, with its images in their place"
        )
    proofs = [*real[n_ranges:], *_odd_proofs(predictor.preprocess)]
    progress("exporting", 0, 3)
    with atomic_folder(place) as folder:
        file = folder / FILES[format]
        if format == "onnx":
            write_graph(bundle, predictor, file, progress)
        else:
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-onnx-") as aside:
                write_graph(bundle, predictor, Path(aside) / FILES["onnx"], progress)
                outputs = (OUTPUT, answers_of(ending_of(predictor.task)))
                _convert(Path(aside) / FILES["onnx"], file, format, outputs, half=precision == "fp16")
        if format == "onnx" and precision == "fp16":
            as_half_precision(file)
        elif precision == "int8":
            as_int8(file, [as_input(proof.views) for proof in real[:n_ranges]])
        write_head(folder / HEAD, predictor.head)
        if bundle.manifest.decisions.familiarity:
            shutil.copyfile(bundle.familiarity, folder / FAMILIARITY)
        progress("exporting", 1, 3)
        parity = _compare(predictor, file, proofs, precision)
        progress("exporting", 2, 3)
        digests = {part.name: sha256_of_file(part) for part in sorted(folder.iterdir()) if part.name != FAMILIARITY}
        entry = ExportEntry(format=format, precision=precision, file=file.name, sha256=digests, parity=parity)
        write_card(folder, save_manifest(folder, bundle.manifest.model_copy(update={"export": entry})))
    progress("exporting", 3, 3)
    return Exported(place, place / FILES[format], parity, bundle.manifest.numbers is not None)


def _convert(onnx_file: Path, file: Path, format: ExportFormat, outputs: tuple[str, str], *, half: bool) -> None:
    if format == "openvino":
        write_openvino(onnx_file, file, half=half)
    else:
        write_litert(onnx_file, file, outputs, half=half)


def bundle_to_export(model: Path) -> Bundle:
    """The bundle of a model that is no export itself. Raises BundleError."""
    bundle = read_bundle(model)
    if bundle.manifest.export is not None:
        raise BundleError(f"{model} is an export already", hint="export the model it was made from")
    return bundle


def write_graph(bundle: Bundle, predictor: Predictor, file: Path, progress: Progress) -> None:
    """Writes the whole classifier as ONNX."""
    compiled, _ = compiled_form(bundle, progress)
    task, head = predictor.task, predictor.head
    if isinstance(task, Numbers):  # the file ends in the number itself
        head = head.scaled(task.spread, task.mean)
    write_onnx(compiled.graph, head, file, _facts(bundle.manifest), predictor.preprocess, ending_of(task))


def ending_of(task: LearningTask) -> Ending:
    """What makes answers of the logits of a task."""
    return ENDINGS[task.link]


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raises SettingsError for a folder that holds anything but an export, or one that is not to be overwritten."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not any(_says_export(output / name, key) for name, key in ((MANIFEST, "export"), (WEB_MODEL, "web_format"))):
        raise SettingsError(f"{output} exists and is not an export", hint="choose another --output")
    if not overwrite:
        raise SettingsError(f"{output} exists", hint="choose another --output, or pass --overwrite")


def _says_export(file: Path, key: str) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8"))[key] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _real_proofs(model: Path, bundle: Bundle, predictor: Predictor) -> Iterator[_Proof]:
    """Images that the run was evaluated on, of all classes; none if the model is not in a run folder."""
    for image in islice(images_of_run(model, bundle), MAX_PROOFS):
        yield _Proof(image.path, predictor.preprocess.views_of_file(image.data)[None], image.label)


def images_of_run(model: Path, bundle: Bundle) -> Iterator[RunImage]:
    """The images that a model's run was evaluated on, in random order; none if the model is not in a run folder."""
    known = {digest for split in ("test", "val", "train") for digest in bundle.manifest.images.get(split, ())}
    run = model if (model / PREDICTIONS).is_file() else bundle.folder.parent
    return evaluated_images(run, known)


def _odd_proofs(preprocess: Preprocess) -> Iterator[_Proof]:
    # A generated image is no stack; what the networks answer for its pixels counts.
    for name, data in odd_images().items():
        yield _Proof(name_of_odd(name), preprocess.views_of_photograph(data)[None], "", is_odd=True)


def name_of_odd(name: str) -> str:
    """How a generated image is called in messages."""
    return f"a generated image ({name})"


def _compare(predictor: Predictor, file: Path, proofs: Sequence[_Proof], precision: ExportPrecision) -> ParityEntry:
    """Both models on every proof. Raises BundleError if a full-precision export gives another answer."""
    run = exported_engine(file, answers_of(ending_of(predictor.task)), predictor.preprocess, len(predictor.classes))
    before = np.concatenate([predictor.answer(proof.views) for proof in proofs])
    after = np.concatenate([run(as_input(proof.views)) for proof in proofs]).astype(np.float64)
    differences = np.abs(after - before).max(axis=1) / predictor.task.unit
    _check_resolution(predictor, before)
    named = [_named(predictor, found) for found in (before, after)]
    same = predictor.task.alike(before, after)
    if precision == "fp32" and not (np.isfinite(after).all() and same.all() and differences.max() <= TOLERANCE):
        worst = int(np.nan_to_num(differences, nan=np.inf).argmax()) if same.all() else int(np.flatnonzero(~same)[0])
        what = "a number" if isinstance(predictor.task, Numbers) else "a probability"
        raise BundleError(
            f"the exported model gives another answer than the original for {proofs[worst].name}: {what} of "
            f"{after[worst].max():.4f} instead of {before[worst].max():.4f}",
            hint="nothing was written; please report this with the versions in manifest.json",
        )
    known = [i for i, proof in enumerate(proofs) if proof.label and not isinstance(predictor.task, Numbers)]

    def accuracy(answers: Sequence[str]) -> float | None:
        return float(np.mean([predictor.task.agree(proofs[i].label, answers[i]) for i in known])) if known else None

    return ParityEntry(
        images=sum(not proof.is_odd for proof in proofs),
        odd_images=sum(proof.is_odd for proof in proofs),
        same_label=float(same.mean()),
        max_difference=float(differences.max()),
        accuracy_before=accuracy(named[0]),
        accuracy_after=accuracy(named[1]),
    )


def _check_resolution(predictor: Predictor, answers: np.ndarray) -> None:
    """Raises BundleError if 32 bits, which exported models answer in, cannot tell answers such as 1700000000 and 1700000050."""
    apart = float(np.spacing(np.abs(answers).max().astype(np.float32)))
    if isinstance(predictor.task, Numbers) and apart > TOLERANCE * predictor.task.unit:
        typical = in_digits(predictor.task.mean, predictor.task.unit)
        raise BundleError(
            f"answers around {typical} are too large for how little they differ: exported models have 32-bit numbers, which "
            f"are {in_digits(apart)} apart there",
            hint=f"train on the differences from a number such as {in_digits(predictor.task.mean)}, and add it to the answers",
        )


def _named(predictor: Predictor, probabilities: np.ndarray) -> list[str]:
    """The answers to (n, n_classes) probabilities, as text."""
    return [predictor.task.named(predictor.classes, answer) for answer in predictor.task.decide(probabilities)]


def _facts(manifest: Manifest) -> Mapping[str, str]:
    """What a program that has only the ONNX file needs to know."""
    values: dict[str, Any] = {
        "classes": manifest.classes,
        "preprocess": manifest.preprocess.model_dump(mode="json"),
        "decisions": manifest.decisions.model_dump(mode="json"),
        "backbone": manifest.backbone.model_dump(mode="json"),
    }
    if manifest.numbers is not None:
        values["numbers"] = manifest.numbers.model_dump(mode="json")
    return {f"headstart.{name}": json.dumps(value) for name, value in values.items()}
