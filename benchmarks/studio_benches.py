"""Projects for benchmarks/studio.py: of real images whose labels are changed, and of made-up ones."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.data.catalog import open_data
from headstart.data.reading import Reading
from headstart.data.sources import Candidate
from headstart.labelling.catalogue import READ, Catalogue
from headstart.labelling.project import open_project
from headstart.labelling.workbench import Workbench
from headstart.model.feature_store import FeatureStore
from headstart.model.features import ScannedImage, scan_rows
from headstart.model.pretrained import Backbone, open_backbone
from headstart.progress import silent
from headstart.settings import TrainSettings
from headstart.threads import one_blas_thread

PATIENCE_SECONDS = 600.0
QUIET_SECONDS = 1.0  # without a new fit: all is done
MIXED, OVERLAP = 24, 0.5  # images that a made-up one is mixed of; how far apart classes are, relative to the real ones


@dataclass(frozen=True, slots=True)
class Images:
    """A labelled set with its features."""

    candidates: tuple[Candidate, ...]
    classes: list[str]
    labels: np.ndarray  # (n,) int64
    vectors: np.ndarray  # (n, n_features) float32

    def of_split(self, split: str) -> "Images":
        """Those of one split."""
        rows = [row for row, candidate in enumerate(self.candidates) if candidate.split == split]
        return self.rows(np.array(rows, np.int64))

    def rows(self, rows: np.ndarray) -> "Images":
        """Some of them, in this order."""
        chosen = tuple(self.candidates[row] for row in rows.tolist())
        return Images(chosen, self.classes, self.labels[rows], self.vectors[rows])

    def with_labels(self, labels: Sequence[str | None]) -> tuple[Candidate, ...]:
        """The candidates, with other labels."""
        return tuple(replace(candidate, label=label) for candidate, label in zip(self.candidates, labels, strict=True))


def backbone() -> Backbone:
    """The one that the studio uses."""
    return open_backbone(TrainSettings.of(effort="quick"), silent)


def images_of(data: str, network: Backbone) -> Images:
    """The readable images of a data set; features come from the store if they are there."""
    assert network.frozen is not None
    with open_data(data, Reading(), offline=True) as source:
        scanned = list(scan_rows(source.candidates, network.preprocess, network.frozen.extractor, store=FeatureStore()))
    pairs = [(c, row) for c, row in zip(source.candidates, scanned, strict=True) if isinstance(row, ScannedImage)]
    candidates = tuple(candidate for candidate, _ in pairs)
    classes = sorted({candidate.label or "" for candidate in candidates})
    labels = np.array([classes.index(candidate.label or "") for candidate in candidates], np.int64)
    return Images(candidates, classes, labels, np.stack([row.vector for _, row in pairs]))


@contextmanager
def open_bench(candidates: Sequence[Candidate], network: Backbone, kind: type[Workbench] = Workbench) -> Iterator[Workbench]:
    """A workbench of these images in a new project, when all of them are read, checked and fitted to."""
    with tempfile.TemporaryDirectory() as folder, one_blas_thread(), open_project(Path(folder) / "project") as project:
        paths = [candidate.path for candidate in candidates]
        bench = kind(Catalogue.of(candidates), paths, project.log, network, project.folder)
        bench.start()
        try:
            settle(bench)
            yield bench
        finally:
            bench.stop()


def settle(bench: Workbench) -> None:
    """Returns when the workbench has nothing more to do."""
    version, since, end = -1, time.monotonic(), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() - since < QUIET_SECONDS:
        if bench.problem or time.monotonic() > end:
            raise SystemExit(f"the workbench has stopped: {bench.problem or 'it takes too long'}")
        if bench.version != version or bench.fitting or not bench.scanned:
            version, since = bench.version, time.monotonic()
        time.sleep(0.02)


def wait_for_fit(bench: Workbench, version: int) -> float:
    """Returns when there is a fit after that of this version; the seconds that it took."""
    start = time.perf_counter()
    while bench.version <= version:
        if bench.problem or time.perf_counter() - start > PATIENCE_SECONDS:
            raise SystemExit(f"the workbench has stopped: {bench.problem or 'it takes too long'}")
        time.sleep(0.001)
    return time.perf_counter() - start


class MadeBench(Workbench):
    """A workbench whose rows are filled in: there are no files."""

    def _scan(self) -> None:
        for row in range(len(self.catalogue)):
            self.book.place(row)
        self.scanned = True
        self.changed()


def made_vectors(images: Images, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_features) float16 vectors and (n,) labels, spread within each class as real ones are, the classes closer."""
    rng = np.random.default_rng(seed)
    means = np.stack([images.vectors[images.labels == number].mean(axis=0) for number in range(len(images.classes))])
    from_mean = images.vectors - means[images.labels]
    middle = images.vectors.mean(axis=0)
    means = middle + OVERLAP * (means - middle)
    labels, vectors = rng.integers(len(images.classes), size=n), np.empty((n, images.vectors.shape[1]), np.float16)
    for start in range(0, n, 2_000):
        m = min(2_000, n - start)
        mix = np.zeros((m, len(from_mean)), np.float32)
        for _ in range(MIXED):
            mix[np.arange(m), rng.integers(len(from_mean), size=m)] += rng.normal(size=m)
        vectors[start : start + m] = means[labels[start : start + m]] + mix @ from_mean / np.sqrt(MIXED)
    return vectors, labels


def fill(catalogue: Catalogue, vectors: np.ndarray, seed: int = 0) -> None:
    """Makes up what a scan would find of every row."""
    rng, n = np.random.default_rng(seed), len(catalogue)
    catalogue.vectors = vectors
    catalogue.digests[:] = rng.integers(256, size=catalogue.digests.shape, dtype=np.uint8)
    for name in ("width", "height"):
        catalogue.columns[name][:] = rng.integers(100, 4_000, size=n)
    for name in ("brightness", "sharpness"):
        catalogue.columns[name][:] = rng.random(n)
    catalogue.columns["state"][:] = READ
    catalogue.n_read = n


def made_candidates(labels: Sequence[str], folders: int = 10) -> list[Candidate]:
    """Images that are nowhere."""
    paths = (f"folder {i % folders}/image {i}.jpg" for i in range(len(labels)))
    return [Candidate(path, Path(path), label) for path, label in zip(paths, labels, strict=True)]
