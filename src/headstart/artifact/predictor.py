"""A saved model that answers: image files in, classes with probabilities out."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.artifact.bundle import Bundle, Manifest, read_bundle
from headstart.data.images import UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.errors import BundleError, HeadstartError, HeadstartWarning, explains_missing_packages
from headstart.model.catalog import find_backbone
from headstart.model.compiled import compiled_folder, find_compiled
from headstart.model.extractor import Extractor
from headstart.model.frozen import NotCompilable, compile_network, compiled_extractor, read_head
from headstart.model.head import Head, softmax
from headstart.progress import Progress, silent
from headstart.threads import map_in_threads

if TYPE_CHECKING:
    from headstart.model.backbones import Network


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one file: probabilities, or the reason why it could not be read."""

    path: str
    classes: tuple[str, ...]
    probabilities: np.ndarray | None  # (n_classes,) float64
    error: str = ""

    @property
    def predicted(self) -> str:
        """The most probable class; "" for an unreadable file."""
        return "" if self.probabilities is None else self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Of the predicted class; 0 for an unreadable file."""
        return 0.0 if self.probabilities is None else float(self.probabilities.max())


class Predictor:
    """Answers for image files with the pixels the model was trained on. `Predictor.load(MODEL)` makes one."""

    def __init__(
        self,
        classes: tuple[str, ...],
        preprocess: Preprocess,
        extractor: Extractor,
        head: Head,
        manifest: Manifest | None = None,
    ) -> None:
        self.classes = classes  # names; probabilities come in this order
        self.preprocess = preprocess
        self.extractor = extractor
        self.head = head
        self.manifest = manifest  # None for a model that was not saved yet

    @classmethod
    @explains_missing_packages("predicting")
    def load(cls, model: str | Path, device: str = "cpu", progress: Progress = silent) -> "Predictor":
        """The predictor of a bundle or run folder. On a CPU it runs the compiled form, which is made where there is none yet.

        Raises BundleError.
        """
        bundle = read_bundle(Path(model))
        manifest = bundle.manifest
        try:
            extractor, head = _parts_of(bundle, device, progress)
        except BundleError:
            raise
        except HeadstartError as error:
            raise BundleError(f"{bundle.folder} cannot be used: {error.message}", hint=error.hint) from error
        return cls(manifest.classes, manifest.preprocessing(), extractor, head, manifest)

    def predict(self, paths: Iterable[str | Path], workers: int | None = None) -> Iterator[Prediction]:
        """A Prediction for each file, in order, as they come; memory holds a few batches."""
        candidates = (Candidate(path=str(path), file=Path(path)) for path in paths)
        return self.predict_candidates(candidates, workers)

    def predict_candidates(self, candidates: Iterable[Candidate], workers: int | None = None) -> Iterator[Prediction]:
        """The same for candidates of a data set."""
        batch: list[_Opened] = []
        for opened in map_in_threads(self._open, candidates, workers):
            batch.append(opened)
            if len(batch) == self.extractor.batch_images:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def _open(self, candidate: Candidate) -> "_Opened":
        try:
            view = self.preprocess.view(self.preprocess.decode(candidate.read()).rgb)[None]
        except UnreadableImage as unreadable:
            return _Opened(candidate.path, error=unreadable.reason)
        if self.extractor.batch_images > 1:
            return _Opened(candidate.path, view=view)
        return _Opened(candidate.path, vector=self.extractor.compute(view))

    def _answer(self, batch: Sequence["_Opened"]) -> Iterator[Prediction]:
        views = [opened.view for opened in batch if opened.view is not None]
        vectors = iter(self.extractor.compute(np.concatenate(views)) if views else ())
        for opened in batch:
            if opened.error:
                yield Prediction(opened.path, self.classes, None, opened.error)
                continue
            vector = next(vectors)[None] if opened.vector is None else opened.vector
            logits = self.head.logits(vector)
            if not np.isfinite(logits).all():
                raise BundleError("the model's answers are no numbers", hint="train it again, at a lower learning rate")
            yield Prediction(opened.path, self.classes, softmax(logits)[0])


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a thread made of one file: a view to be computed in a batch, a vector, or the reason why there is neither."""

    path: str
    view: np.ndarray | None = None  # (1, size, size, 3) uint8
    vector: np.ndarray | None = None  # (1, n_features) float32
    error: str = ""


def _parts_of(bundle: Bundle, device: str, progress: Progress) -> tuple[Extractor, Head]:
    """What runs a bundle's network, and its last layer."""
    if device != "cpu":
        network = _network_of(bundle, device)
        return network.extractor(), network.head()
    manifest = bundle.manifest
    precision = manifest.precision
    sha256, size = manifest.weights_sha256, None
    if manifest.has_pretrained_body:  # then all probes of a backbone share its compiled form
        sha256, size = manifest.backbone.weights_sha256, manifest.settings.get("image_size")
    folder = compiled_folder(find_backbone(manifest.backbone.name).timm_name, sha256, size)
    compiled = find_compiled(folder)
    if compiled is None or compiled.preprocess != manifest.preprocessing():
        network = _network_of(bundle, "cpu")
        try:
            compiled = compile_network(network, folder, progress=progress)
        except NotCompilable as error:
            warnings.warn(f"{error.message}: it runs in torch, which is slower", HeadstartWarning, stacklevel=2)
            return network.extractor(), network.head()
    kept_as = sha256 if manifest.has_pretrained_body else ""
    head = read_head(bundle.weights, compiled)
    if len(head.bias) != len(manifest.classes):
        raise BundleError(
            f"{bundle.weights} does not fit the manifest: it has {len(head.bias)} classes, not {len(manifest.classes)}",
            hint="is the copy complete?",
        )
    return compiled_extractor(compiled, kept_as, precision), head


def _network_of(bundle: Bundle, device: str) -> "Network":
    from headstart.model.backbones import bundled_network, find_hardware, named_or_timm

    manifest = bundle.manifest
    spec = named_or_timm(manifest.backbone.name)
    return bundled_network(spec, manifest.preprocessing(), len(manifest.classes), bundle.weights, find_hardware(device).device)
