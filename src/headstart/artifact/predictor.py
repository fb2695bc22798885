"""A saved model that answers: image files in, classes with probabilities out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from headstart.artifact.bundle import Bundle, Manifest, read_bundle
from headstart.data.images import UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate
from headstart.errors import BundleError, HeadstartError, explains_missing_packages
from headstart.model.features import map_in_threads
from headstart.model.head import softmax

BATCH_IMAGES = 16


class Classifying(Protocol):
    """What runs the network; a backbones.Network does."""

    def logits(self, views: np.ndarray) -> np.ndarray: ...


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
        self, classes: tuple[str, ...], preprocess: Preprocess, network: Classifying, manifest: Manifest | None = None
    ) -> None:
        self.classes = classes  # names; probabilities come in this order
        self.preprocess = preprocess
        self.manifest = manifest  # None for a model that was not saved yet
        self._network = network

    @classmethod
    @explains_missing_packages("predicting")
    def load(cls, model: str | Path, device: str = "cpu") -> "Predictor":
        """The predictor of a bundle or run folder. Raises BundleError."""
        bundle = read_bundle(Path(model))
        manifest = bundle.manifest
        return cls(manifest.classes, manifest.preprocessing(), _network_of(bundle, device), manifest)

    def logits(self, views: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) uint8 views -> (n, n_classes) float32."""
        return self._network.logits(views)

    def predict(self, paths: Iterable[str | Path], workers: int | None = None) -> Iterator[Prediction]:
        """A Prediction for each file, in order, as they come; memory holds a few batches."""
        candidates = (Candidate(path=str(path), file=Path(path)) for path in paths)
        return self.predict_candidates(candidates, workers)

    def predict_candidates(self, candidates: Iterable[Candidate], workers: int | None = None) -> Iterator[Prediction]:
        """The same for candidates of a data set."""
        batch: list[tuple[str, np.ndarray | str]] = []
        for opened in map_in_threads(self._open, candidates, workers):
            batch.append(opened)
            if len(batch) == BATCH_IMAGES:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def _open(self, candidate: Candidate) -> tuple[str, np.ndarray | str]:
        try:
            return candidate.path, self.preprocess.view(self.preprocess.decode(candidate.read()).rgb)
        except UnreadableImage as unreadable:
            return candidate.path, unreadable.reason

    def _answer(self, batch: Sequence[tuple[str, np.ndarray | str]]) -> Iterator[Prediction]:
        views = [view for _, view in batch if isinstance(view, np.ndarray)]
        rows = iter(softmax(self._network.logits(np.stack(views)))) if views else iter(())
        for path, view in batch:
            if isinstance(view, str):
                yield Prediction(path, self.classes, None, view)
            else:
                yield Prediction(path, self.classes, next(rows))


def _network_of(bundle: Bundle, device: str) -> Classifying:
    from headstart.model.backbones import bundled_network, find_hardware, named_or_timm

    manifest = bundle.manifest
    try:
        spec = named_or_timm(manifest.backbone.name)
        return bundled_network(
            spec, manifest.preprocessing(), len(manifest.classes), bundle.weights, find_hardware(device).device
        )
    except BundleError:
        raise
    except HeadstartError as error:
        raise BundleError(f"{bundle.folder} cannot be used: {error.message}", hint=error.hint) from error
