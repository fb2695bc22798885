"""A model as a folder that any web server serves: it runs in the browser, and is kept only if it answers there as in Python."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from headstart.artifact.bundle import FAMILIARITY, Bundle
from headstart.artifact.export import (
    WEB_MODEL,
    bundle_to_export,
    check_output,
    ending_of,
    images_of_run,
    name_of_odd,
    write_graph,
)
from headstart.artifact.manifest import Manifest, difference_in_words
from headstart.artifact.number_card import seen_in_words
from headstart.artifact.number_words import intervals_in_words, numbers_sentence
from headstart.artifact.numbers import summary_sentence
from headstart.artifact.predictor import Predictor
from headstart.artifact.web_browser import PAGE, PROOF_PAGE, BrowserError, find_browser, page_in_browser
from headstart.artifact.web_runtime import WebRuntime, web_runtime
from headstart.data.odd_images import odd_images
from headstart.data.preprocess import Preprocess, rows_may_be_first
from headstart.errors import BundleError
from headstart.model.exported import FILES, answers_of
from headstart.model.licences import restriction
from headstart.progress import Progress, silent
from headstart.schema import Count, NotNegative, Schema, Share
from headstart.storage import AnyPath, atomic_folder, write_json, write_text
from headstart.tasks.one_number import Numbers

# Of a probability, of a distance, and of a number in standard deviations of those of the training images: browsers round
# transparent pixels and colours in their own ways.
TOLERANCE = 0.01
MAX_PROOFS = 200  # real images; a browser takes some tenths of a second for each
LIMIT_TOLERANCE = 1e-6  # of the confidence from which an answer is sure, and of the ends of intervals: sums are rounded
WORKER = "sw.js"  # is written last: it knows all other files


class WebProof(Schema):
    """How the page's answers compare with the model's, from image file to label."""

    images: Count  # real images, from the evaluation
    odd_images: Count  # generated images
    refused: Count  # of both, which the page says that it cannot answer
    same_label: Share  # of those that it answers
    max_difference: NotNegative  # between probabilities; of numbers in standard deviations of those of the training images

    def difference(self, *, of_numbers: bool) -> str:
        """How far answers differ at most, in words."""
        return difference_in_words(self.max_difference, of_numbers=of_numbers)


@dataclass(frozen=True, slots=True)
class WebExported:
    """A page that was kept."""

    folder: Path
    runtime: str  # the version of onnxruntime-web
    n_bytes: int  # of all files
    proof: WebProof | None
    unproven: str = ""  # why there is no proof
    of_numbers: bool = False  # whether its answers are numbers


@dataclass(frozen=True, slots=True)
class _Compared:
    """One image: what both say, or that the page refuses it."""

    name: str
    is_odd: bool
    before: np.ndarray | None = None  # (n_classes,) float64; None if refused
    after: np.ndarray | None = None
    same_label: bool = True


def export_web(
    model: AnyPath,
    output: AnyPath,
    *,
    runtime: Path | None = None,
    offline: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> WebExported:
    """Writes `output` with a page, the model as ONNX, and onnxruntime-web from `runtime` or the npm registry.

    If there is a Chromium on this machine, page and model answer the same images: those of the run's predictions.csv that can
    be found, and a few generated ones. Probabilities that differ by more than 0.01 (numbers: by more than 0.01 standard
    deviations of those of the training images), or an answer other than these have here, raise BundleError, and nothing is
    written. Raises SettingsError and DownloadError.
    """
    place = Path(output)
    check_output(place, overwrite=overwrite)
    bundle = bundle_to_export(Path(model))
    if bundle.manifest.preprocess.decoding == 1:
        raise BundleError(
            f"{model} decodes images as the first versions of headstart did, which browsers do not", hint="train it again"
        )
    if channels := bundle.manifest.preprocess.channels:
        raise BundleError(
            f"{model} sees what --channels {channels} chooses of stacks, which browsers do not read",
            hint="use headstart predict or serve",
        )
    parts = web_runtime(runtime, offline=offline, progress=progress)
    predictor = Predictor.load(model, progress=progress)
    with atomic_folder(place) as folder:
        write_graph(bundle, predictor, folder / FILES["onnx"], progress)
        _write_page(folder, bundle, parts)
        about = _about(bundle.manifest, predictor, parts.version)
        write_json(folder / WEB_MODEL, about)
        proof, unproven = _proven(folder, _images(Path(model), bundle), predictor, progress)
        write_json(folder / WEB_MODEL, about | {"proof": proof.as_json() if proof else None})
        _write_worker(folder, without=set(parts.notices))
    n_bytes, of_numbers = sum(file.stat().st_size for file in place.iterdir()), isinstance(predictor.task, Numbers)
    return WebExported(place, parts.version, n_bytes, proof, unproven, of_numbers)


def _write_page(folder: Path, bundle: Bundle, parts: WebRuntime) -> None:
    for file in PAGE.iterdir():
        if file.name not in (*PROOF_PAGE, WORKER):
            shutil.copyfile(file, folder / file.name)
    for name, content in (parts.files | parts.notices).items():
        (folder / name).write_bytes(content)
    if bundle.manifest.decisions.familiarity:
        shutil.copyfile(bundle.familiarity, folder / FAMILIARITY)


def _about(manifest: Manifest, predictor: Predictor, runtime: str) -> dict[str, Any]:
    """model.json: what the page needs to know. It tells no training image: the folder may be public."""
    decisions, backbone, numbers = manifest.decisions, manifest.backbone, manifest.numbers
    licence = restriction(backbone.name, backbone.licence)
    facts = _facts_of_numbers(manifest) if numbers else _facts_of_classes(manifest)
    return {
        "web_format": 1,
        "name": manifest.data.name or ("Image regression" if numbers else "Image classifier"),
        "claim": next(iter(facts.values())),
        "about": {
            **facts,
            "network": f"{backbone.name}, whose weights are under {backbone.licence or 'an unknown licence'}",
            **({"restriction": licence} if licence else {}),
            "made": f"{manifest.created[:10]} with headstart {manifest.versions.get('headstart', '')}",
            "runs in": f"onnxruntime-web {runtime}",
        },
        "task": manifest.task,
        "output": answers_of(ending_of(predictor.task)),
        "classes": list(manifest.classes),
        "preprocess": _preprocess(manifest.preprocess),
        "min_confidence": decisions.precision.min_confidence if decisions.precision else 0.0,
        "min_probability": decisions.conformal.min_probability if decisions.conformal else None,
        "thresholds": [one.threshold for one in decisions.labels],
        "intervals": numbers.intervals.as_json() if numbers and numbers.intervals else None,
        "has_familiarity": decisions.familiarity is not None,
    }


def _facts_of_classes(manifest: Manifest) -> dict[str, str]:
    """How good the answers are, and what they can be."""
    measured = summary_sentence(manifest.evaluation) if manifest.evaluation else "Its accuracy was not measured."
    return {"accuracy": measured, "classes": ", ".join(manifest.classes)}


def _facts_of_numbers(manifest: Manifest) -> dict[str, str]:
    """The same of numbers, with what their intervals promise."""
    numbers = manifest.numbers
    assert numbers is not None  # the answers are numbers
    facts = {
        "error": numbers_sentence(numbers.evaluation) if numbers.evaluation else "Its error was not measured.",
        "number": manifest.classes[0],
        "training images": seen_in_words(numbers),
    }
    if numbers.intervals is None:
        return facts
    says = intervals_in_words(numbers.intervals, manifest.decisions.set_on, promised=numbers.intervals_promised)
    return facts | {"intervals": f"{says[:1].upper()}{says[1:]}."}


def _preprocess(preprocess: Preprocess) -> dict[str, Any]:
    names = ("size_px", "resize_px", "interpolation", "mean", "cuts", "mirrored")
    values = {name: value for name, value in preprocess.as_json().items() if name in names}
    return values | {"decode_px": preprocess.decode_px, "rows_may_be_first": rows_may_be_first()}


def _write_worker(folder: Path, without: set[str]) -> None:
    """Writes the service worker, with the digest of each file that it keeps."""
    kept = sorted(file for file in folder.iterdir() if file.name not in {*without, WORKER})
    digests = {file.name: f"sha256-{b64encode(sha256(file.read_bytes()).digest()).decode()}" for file in kept}
    lines = "".join(f'  "{name}": "{digest}",\n' for name, digest in digests.items())
    text = (PAGE / WORKER).read_text(encoding="utf-8").replace("const FILES = {};", f"const FILES = {{\n{lines}}};")
    version = sha256(text.encode()).hexdigest()[:16]
    write_text(folder / WORKER, text.replace('const VERSION = "";', f'const VERSION = "{version}";'))


def _images(model: Path, bundle: Bundle) -> Iterator[tuple[str, bytes, bool]]:
    """(name, bytes, whether it is generated) of each image that the page is tried on."""
    for image in islice(images_of_run(model, bundle), MAX_PROOFS):
        yield image.path, image.data, False
    for name, data in odd_images().items():
        yield name_of_odd(name), data, True


def _proven(
    folder: Path, images: Iterator[tuple[str, bytes, bool]], predictor: Predictor, progress: Progress
) -> tuple[WebProof | None, str]:
    """The proof, or why there is none. Raises BundleError if the page answers otherwise than the model."""
    browser = find_browser()
    if browser is None:
        return None, "there is no Chromium, Chrome or Edge on this machine"
    compared, most = [], MAX_PROOFS + len(odd_images())
    try:
        with page_in_browser(browser, folder) as ask:
            for name, data, is_odd in images:
                compared.append(_compared(predictor, name, data, ask(data), is_odd=is_odd))
                progress("comparing in the browser", len(compared), most)
    except BrowserError as error:
        return None, error.message
    progress("comparing in the browser", most, most)
    return _proof_of(compared, predictor.task.unit), ""


def _compared(predictor: Predictor, name: str, data: bytes, said: dict[str, Any], *, is_odd: bool) -> _Compared:
    if "refused" in said:
        return _Compared(name, is_odd)
    if "failed" in said:
        raise BundleError(f"the page fails on {name}: {said['failed']}", hint="nothing was written; please report this")
    own = predictor.predict_bytes([(name, data)])[0]
    if own.probabilities is None:
        raise BundleError(f"the page answers {name}, which cannot be read: {own.error}", hint="nothing was written")
    after = np.array(said["probabilities"], np.float64)
    same_shape = after.shape == own.probabilities.shape
    difference = np.abs(after - own.probabilities).max() / predictor.task.unit if same_shape else np.inf
    apart = abs((own.distance or 0.0) - (said["distance"] or 0.0))
    if not (difference <= TOLERANCE and apart <= TOLERANCE):
        what = "numbers, in standard deviations," if isinstance(predictor.task, Numbers) else "probabilities"
        raise BundleError(
            f"in the browser {name} gets another answer: {what} differ by {difference:.4f}, the distances from the "
            f"training images by {apart:.4f}",
            hint="nothing was written; please report this with the versions in manifest.json",
        )
    if not _follows(said, predictor, after):
        of_what = "the network's output" if isinstance(predictor.task, Numbers) else "its probabilities"
        raise BundleError(
            f"in the browser {name} gets another answer: {said['predicted']!r}, which does not follow from {of_what}",
            hint="nothing was written; please report this with the versions in manifest.json",
        )
    return _Compared(name, is_odd, own.probabilities, after, _is_same(said, predictor, own.probabilities, after))


def _is_same(said: dict[str, Any], predictor: Predictor, before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the page's answer is the model's."""
    if isinstance(predictor.task, Numbers):
        return bool(predictor.task.alike(before[None], after[None])[0])
    return any(said["predicted"] == label for label, _, _ in _decisions(predictor, before))


def _follows(said: dict[str, Any], predictor: Predictor, after: np.ndarray) -> bool:
    """Whether an answer of the page is the one that its (n_classes,) probabilities have here."""
    if not isinstance(predictor.task, Numbers):
        return (said["predicted"], said["unsure"], said["set"]) in _decisions(predictor, after)
    (own,) = predictor.doubts.judged([""], predictor.classes, after[None], None, predictor.task)
    if float(said["predicted"]) != own.value or said["unsure"] or (own.ends is None) != (said["ends"] is None):
        return False
    within = LIMIT_TOLERANCE * predictor.task.unit
    return own.ends is None or bool(np.abs(np.subtract(said["ends"], own.ends)).max() <= within)


def _decisions(predictor: Predictor, probabilities: np.ndarray) -> list[tuple[str, bool, list[str] | None]]:
    """The answer to (n_classes,) probabilities, whether it is unsure, and its set; several where it is just sure or unsure."""
    found, rows = [], probabilities[None]
    for tolerance in (0, -LIMIT_TOLERANCE, LIMIT_TOLERANCE):
        doubts = replace(predictor.doubts, min_confidence=predictor.doubts.min_confidence + tolerance)
        own = next(doubts.judged([""], predictor.classes, rows, None, predictor.task))
        found.append((own.best, own.unsure, None if own.members is None else list(own.members)))
    return found


def _proof_of(compared: list[_Compared], unit: float) -> WebProof:
    answered = [(one.before, one.after) for one in compared if one.before is not None and one.after is not None]
    same = [one.same_label for one in compared if one.before is not None]
    return WebProof(
        images=sum(not one.is_odd for one in compared),
        odd_images=sum(one.is_odd for one in compared),
        refused=len(compared) - len(answered),
        same_label=float(np.mean(same)) if same else 0.0,
        max_difference=max((float(np.abs(after - before).max()) / unit for before, after in answered), default=0.0),
    )
