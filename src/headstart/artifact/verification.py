"""Whether a model on disk is intact and works: the checks of `headstart verify`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.artifact.bundle import CARD, Bundle, check_files, find_bundle
from headstart.artifact.export import ending_of
from headstart.artifact.manifest import MANIFEST, Manifest, read_manifest
from headstart.artifact.predictor import Predictor
from headstart.data.odd_images import odd_images
from headstart.errors import BundleError
from headstart.model.exported import answers_of, exported_engine
from headstart.model.extractor import as_input
from headstart.storage import AnyPath
from headstart.tasks.one_number import Numbers
from headstart.tasks.task import LearningTask

SUM_TOLERANCE = 1e-3  # of the sum of probabilities; in half precision it is off by 5e-4 at most


@dataclass(frozen=True, slots=True)
class Passed:
    """A check that passed."""

    check: str
    found: str  # what was found, in words
    files: tuple[str, ...] = ()  # the names of the model's files, for the check that reads them


def verify_model(model: AnyPath) -> Iterator[Passed]:
    """Checks a bundle or an export: manifest, digests, tensors, answers. Yields each check when it has passed.

    Raises BundleError at the first problem.
    """
    folder = find_bundle(Path(model))
    manifest = read_manifest(folder)
    written = f"format {manifest.format}, written {manifest.created[:10]}"
    own = "unchanged since" if manifest.manifest_sha256 else "without its own digest, as in older versions"
    yield Passed("manifest", f"{written}, {own}")
    bundle = Bundle(folder, manifest)
    files = check_files(bundle)
    yield Passed("files", f"unchanged since they were written: {', '.join(files)}", files)
    predictor = Predictor.of(bundle)
    n_classes, n_features = predictor.head.weight.shape
    yield Passed("tensors", f"all fit {manifest.backbone.name} with {n_features} features and {n_classes} classes")
    yield Passed("engine", _engine_in_words(manifest, predictor))
    yield Passed("answers", f"{_check_answers(bundle, predictor)} generated images get {_what_answers_are(predictor.task)}")


def _what_answers_are(task: LearningTask) -> str:
    if isinstance(task, Numbers):
        return "finite numbers"
    return "finite probabilities that sum to 1" if task.has_one_answer else "a probability for each label"


def _are_answers(task: LearningTask, found: np.ndarray) -> bool:
    """Whether (1, n_outputs) outputs can be an answer."""
    if isinstance(task, Numbers):
        return bool(np.isfinite(found).all())
    in_range = bool(((found >= 0) & (found <= 1 + SUM_TOLERANCE)).all())  # which NaN is not
    return in_range and (not task.has_one_answer or abs(found.sum() - 1) <= SUM_TOLERANCE)


def _engine_in_words(manifest: Manifest, predictor: Predictor) -> str:
    """The engine that answers here, and whether the model was made with the same one."""
    here = predictor.extractor.engine
    if manifest.export is not None:
        return f"{manifest.export.file} is run by {here.name}"
    if here == manifest.engine:
        return f"{here.name} {here.precision}, which the model was made with"
    return f"{here.name} {here.precision}; the model was made with {manifest.engine.name}: probabilities agree within 0.0001"


def extra_files(model: AnyPath, files: Iterable[str]) -> tuple[str, ...]:
    """The names of the files in a model's folder other than manifest, card and the model's `files`. Raises BundleError."""
    own = {MANIFEST, CARD, *files}
    return tuple(sorted(path.name for path in find_bundle(Path(model)).iterdir() if path.name not in own))


def _check_answers(bundle: Bundle, predictor: Predictor) -> int:
    """The number of images classified; an exported file must give both features and probabilities. Raises BundleError."""
    export, preprocess = bundle.manifest.export, predictor.preprocess
    ways: list[Callable[[np.ndarray], np.ndarray]] = [predictor.answer]
    if export is not None:
        file = bundle.folder / export.file
        run = exported_engine(file, answers_of(ending_of(predictor.task)), preprocess, len(predictor.classes))
        ways.append(lambda views: run(as_input(views)))
    images = odd_images()
    for name, data in images.items():
        views = preprocess.views_of_photograph(data)[None]  # it is no stack, of which something could be chosen
        for answer in ways:
            if not _are_answers(predictor.task, answer(views)):
                wanted = _what_answers_are(predictor.task)
                raise BundleError(
                    f"{bundle.folder} answers a generated image ({name}) with something else than {wanted}",
                    hint="copy the model again; if that does not help, train it again",
                )
    return len(images)
