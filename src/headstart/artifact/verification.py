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
from headstart.tasks.task import Link

SUM_TOLERANCE = 1e-3  # of the sum of probabilities; in half precision it is off by 5e-4 at most
# What answers are, by what makes them of the network's outputs.
ANSWERS: dict[Link, str] = {
    "softmax": "finite probabilities that sum to 1",
    "sigmoid": "probabilities between 0 and 1",
    "identity": "finite numbers",
}


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
    n_images = _check_answers(bundle, predictor)
    yield Passed("answers", f"{n_images} generated images get {ANSWERS[predictor.task.link]}")


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


def are_answers(probabilities: np.ndarray, link: Link) -> bool:
    """Whether (1, n_classes) answers to an image can be what they should be."""
    if not np.isfinite(probabilities).all():
        return False
    if link == "softmax":
        return bool(abs(probabilities.sum() - 1) <= SUM_TOLERANCE)
    return link == "identity" or bool(((probabilities >= 0) & (probabilities <= 1)).all())


def _check_answers(bundle: Bundle, predictor: Predictor) -> int:
    """The number of images classified; an exported file must give both features and probabilities. Raises BundleError."""
    export, preprocess = bundle.manifest.export, predictor.preprocess
    ways: list[Callable[[np.ndarray], np.ndarray]] = [predictor.answer]
    if export is not None:
        file = bundle.folder / export.file
        run = exported_engine(file, answers_of(ending_of(predictor.task)), preprocess, len(predictor.classes))
        ways.append(lambda views: run(as_input(views)))
    images, link = odd_images(), predictor.task.link
    for name, data in images.items():
        views = preprocess.views_of_photograph(data)[None]  # it is no stack, of which something could be chosen
        for answer in ways:
            probabilities = answer(views)
            if not are_answers(probabilities, link):
                raise BundleError(
                    f"{bundle.folder} answers a generated image ({name}) with numbers that are not {ANSWERS[link]}",
                    hint="copy the model again; if that does not help, train it again",
                )
    return len(images)
