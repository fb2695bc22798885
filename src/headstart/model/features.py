"""One pass over the files: each is read, decoded and turned into its feature vector, unless that is already stored."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.fetching import chunks_of
from headstart.data.miniatures import ROW_BYTES
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped, identity_of
from headstart.data.wording import counted
from headstart.model.extractor import Extractor, mean_of_views
from headstart.model.features_on_disk import Features, FeaturesOnDisk, some_rows
from headstart.model.pipeline import Opened, Pipeline
from headstart.progress import Progress, silent
from headstart.storage import home
from headstart.threads import map_in_threads

if TYPE_CHECKING:
    from headstart.model.feature_store import FeatureStore, Shelf

HASHED_TOGETHER = 32  # files per task: starting a task in a thread costs as much as hashing a small file
STAGE = "computing features"
CHUNK_IMAGES = 1024  # looked up in the store together and written as one part file
SCANS = "scans"  # the folder of home() for the features of large sets while they are used
ON_DISK_BYTES = 1 << 29  # features that take more than this are kept in a file


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of one pass."""

    images: tuple[LabelledImage, ...]  # the readable ones, in the order of the candidates
    skipped: tuple[Skipped, ...]
    facts: tuple[ImageFacts, ...]  # of the images; only sizes if there is no store
    vectors: Features  # (n_images, n_features) float32; n_features is 0 if no vector was computed
    work: "Work"
    miniatures: np.ndarray | FeaturesOnDisk | None = None  # (n_images or more, ROW_BYTES) uint8, if they were asked for


@dataclass(slots=True)
class Work:
    """How much a pass computed and how long it took. Decoding and network seconds are summed over threads."""

    computed: int = 0  # images
    stored: int = 0
    decode_seconds: float = 0.0
    network_seconds: float = 0.0
    wall_seconds: float = 0.0

    def add(self, other: "Work") -> None:
        """Counts what was computed beside as well; the time that passed is not summed."""
        self.computed += other.computed
        self.stored += other.stored
        self.decode_seconds += other.decode_seconds
        self.network_seconds += other.network_seconds

    def after(self, earlier: "Work") -> "Work":
        """Both together, where what the earlier pass computed was in the store for this one."""
        return Work(
            self.computed + earlier.computed,
            max(0, self.stored - earlier.computed),
            self.decode_seconds + earlier.decode_seconds,
            self.network_seconds + earlier.network_seconds,
            self.wall_seconds + earlier.wall_seconds,
        )

    def sentence(self) -> str:
        """A sentence on how fast the pass was and what limited it."""
        if not self.computed:
            return f"{_all(self.stored)} in the store: nothing was computed"
        share = self.network_seconds / max(self.network_seconds + self.decode_seconds, 1e-9)
        stored = f", {self.stored} {'was' if self.stored == 1 else 'were'} in the store" if self.stored else ""
        pace = self.computed / max(self.wall_seconds, 1e-9)
        return (
            f"{counted(self.computed, 'image')} computed, {pace:.0f} per second{stored}; "
            f"{share:.0%} of the work was the network, {1 - share:.0%} reading and decoding"
        )


def _all(n_images: int) -> str:
    return "the image was" if n_images == 1 else f"all {n_images} images were"


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """One readable image, its facts and its feature vector."""

    image: LabelledImage
    facts: ImageFacts
    vectors: np.ndarray  # (n_views, n_features) float32; (1, 0) without an extractor
    miniature: np.ndarray | None = None  # (ROW_BYTES,) uint8, if it was just made, or was asked for and is stored

    @property
    def vector(self) -> np.ndarray:
        """(n_features,) float32: the mean of the views' vectors."""
        return mean_of_views(self.vectors)


def scan(
    candidates: Sequence[Candidate],
    preprocess: Preprocess,
    extractor: Extractor | None = None,
    *,
    store: "FeatureStore | None" = None,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = STAGE,
) -> Scan:
    """The scan of every candidate; unreadable ones are listed with their reasons.

    With an extractor, each image gets its vector. With a store as well, only images missing from it are decoded, and the
    network sees only the views of them that are missing.
    """
    work = Work()
    rows = scan_rows(candidates, preprocess, extractor, store=store, workers=workers, progress=progress, stage=stage, work=work)
    return collected(rows, len(candidates), work)


def collected(
    rows: Iterable["ScannedImage | Skipped"], n_candidates: int, work: Work, *, with_miniatures: bool = False
) -> Scan:
    """The scan that consists of these rows, of so many candidates; a missing miniature is a row of zeros."""
    images: list[LabelledImage] = []
    skipped: list[Skipped] = []
    facts: list[ImageFacts] = []
    vectors: np.ndarray | FeaturesOnDisk = np.empty((0, 0), np.float32)
    miniatures = _room_for(n_candidates, ROW_BYTES, np.uint8) if with_miniatures else None
    try:
        for row in rows:
            if isinstance(row, Skipped):
                skipped.append(row)
            else:
                if not images:  # filled in place: stacking at the end would need twice the memory
                    vectors = _room_for(n_candidates, len(row.vector), np.float32)
                vectors[len(images)] = row.vector
                if miniatures is not None and row.miniature is not None:
                    miniatures[len(images)] = row.miniature
                images.append(row.image)
                facts.append(row.facts)
    finally:
        for written in (vectors, miniatures):
            if isinstance(written, FeaturesOnDisk):
                written.close()
    n = len(images)
    found = vectors[:n] if isinstance(vectors, np.ndarray) else some_rows(vectors, np.arange(n))
    return Scan(tuple(images), tuple(skipped), tuple(facts), found, work, miniatures)


def _room_for(n: int, width: int, dtype: type[np.float32 | np.uint8]) -> np.ndarray | FeaturesOnDisk:
    """(n, width) zeros to be filled in, of many in a file."""
    if n * width * np.dtype(dtype).itemsize <= ON_DISK_BYTES:
        return np.zeros((n, width), dtype)
    return FeaturesOnDisk.nameless(home() / SCANS, n, width, dtype)


def scan_rows(
    candidates: Sequence[Candidate],
    preprocess: Preprocess,
    extractor: Extractor | None = None,
    *,
    store: "FeatureStore | None" = None,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = STAGE,
    work: Work | None = None,
    first: int = CHUNK_IMAGES,
    with_miniatures: bool = False,
) -> Iterator[ScannedImage | Skipped]:
    """Yields the rows of `scan` one by one in the order of the candidates; only one chunk is in memory.

    The first chunk has `first` images: fewer where somebody waits for them. Stored miniatures are not read unless they are
    asked for.
    """
    work = work if work is not None else Work()
    began = time.perf_counter()
    shelf = store.shelf(preprocess, extractor) if store else None
    pipeline = Pipeline(preprocess, extractor, identify=True, describe=shelf is not None)
    done = 0
    for chunk in chunks_of(candidates, CHUNK_IMAGES, first):
        for row in _rows(chunk, pipeline, shelf, workers, work, with_miniatures):
            done += 1
            work.wall_seconds = time.perf_counter() - began
            progress(stage, done, len(candidates))
            yield row


def _rows(
    chunk: Sequence[Candidate],
    pipeline: Pipeline,
    shelf: "Shelf | None",
    workers: int | None,
    work: Work,
    with_miniatures: bool,
) -> Iterator[ScannedImage | Skipped]:
    """One row per candidate, in order; reads from the shelf first, if there is one, and stores new results there."""
    known = _known(chunk, shelf, workers, pipeline, with_miniatures) if shelf else [_Known(None)] * len(chunk)
    fresh: list[Opened] = []
    # One pipeline for each combination of views that some images lack: mostly there is one, or none.
    computed = {
        lacking: _lacking_only(pipeline, lacking).run(_those_that_lack(lacking, chunk, known), workers)
        for lacking in {found.lacking for found in known if found.opened is None}
    }
    try:
        for candidate, found in zip(chunk, known, strict=True):
            opened = found.opened
            if opened is None:
                _, opened = next(computed[found.lacking])
                opened = found.completed(opened)
                fresh.append(opened)
                work.computed += not opened.problem
                work.decode_seconds += opened.decode_seconds
                work.network_seconds += opened.network_seconds
            else:
                work.stored += not opened.problem
            yield row_of(candidate, opened)
    finally:  # results computed before a Ctrl-C are stored too
        for results in computed.values():
            results.close()
        if shelf and fresh:
            _keep(fresh, shelf)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of a candidate."""

    opened: Opened | None  # None: something has to be computed
    views: tuple[np.ndarray | None, ...] = ()  # (n_features,) float32 of each view, None where it lacks; (): all lack

    @property
    def lacking(self) -> tuple[int, ...]:
        """The numbers of the views to compute, if others are stored; (): all."""
        return tuple(number for number, vector in enumerate(self.views) if vector is None)

    def completed(self, computed: Opened) -> Opened:
        """The result for the views that lacked, with the stored ones in their places."""
        if computed.vectors is None or not self.views:
            return computed
        new = iter(computed.vectors)
        return replace(computed, vectors=np.stack([next(new) if vector is None else vector for vector in self.views]))


def _lacking_only(pipeline: Pipeline, lacking: tuple[int, ...]) -> Pipeline:
    """The pipeline with which the network sees some of the views alone; () stands for all."""
    if not lacking:
        return pipeline
    return replace(pipeline, shape=lambda decoded: pipeline.preprocess.views(decoded.seen)[list(lacking)])


def _those_that_lack(lacking: tuple[int, ...], chunk: Sequence[Candidate], known: Sequence[_Known]) -> Iterator[Candidate]:
    return (c for c, found in zip(chunk, known, strict=True) if found.opened is None and found.lacking == lacking)


def _known(
    chunk: Sequence[Candidate], shelf: "Shelf", workers: int | None, pipeline: Pipeline, with_miniatures: bool
) -> list[_Known]:
    """The shelf's content for each candidate."""
    tasks = [chunk[start : start + HASHED_TOGETHER] for start in range(0, len(chunk), HASHED_TOGETHER)]
    identities = [identity for task in map_in_threads(_identities, tasks, workers) for identity in task]
    digests = [digest for digest, _ in identities]
    facts = shelf.facts(digests)
    vectors = shelf.vectors(digests)
    small: list[np.ndarray | None] = [None] * len(chunk)
    if with_miniatures:
        rows, is_stored = shelf.miniatures(digests)
        small = [row if there else None for row, there in zip(rows, is_stored.tolist(), strict=True)]

    def known(digest: str, group: str, miniature: np.ndarray | None) -> _Known:
        fact, views = facts.get(digest), tuple(of_view.get(digest) for of_view in vectors)
        if fact is None:
            return _Known(None)
        if fact.problem or pipeline.extractor is None:
            return _Known(Opened(fact.problem, sha256=digest, group=group, facts=fact))
        stored = [vector for vector in views if vector is not None]
        if len(stored) < pipeline.preprocess.n_views:
            return _Known(None, views if stored else ())
        return _Known(Opened(sha256=digest, group=group, facts=fact, miniature=miniature, vectors=np.stack(stored)))

    return [known(*identity, miniature) for identity, miniature in zip(identities, small, strict=True)]


def _keep(fresh: Sequence[Opened], shelf: "Shelf") -> None:
    by_digest = {opened.sha256: opened for opened in fresh if opened.sha256}
    shelf.keep(
        {digest: ImageFacts(problem=one.problem) if one.problem else one.facts for digest, one in by_digest.items()},
        {digest: one.vectors for digest, one in by_digest.items() if one.vectors is not None},
        {digest: one.miniature for digest, one in by_digest.items() if one.miniature is not None},
    )


def row_of(candidate: Candidate, opened: Opened) -> ScannedImage | Skipped:
    """The row of a candidate that was opened."""
    if opened.problem:
        return Skipped(candidate.path, opened.problem)
    image = LabelledImage(
        path=candidate.path,
        file=candidate.file,
        label=candidate.label or "",
        split=candidate.split,
        group=candidate.group or opened.group or None,  # what a table says counts before what the file says
        sha256=opened.sha256,
        width=opened.facts.width,
        height=opened.facts.height,
    )
    vectors = np.empty((1, 0), np.float32) if opened.vectors is None else opened.vectors
    return ScannedImage(image, opened.facts, vectors, opened.miniature)


def _identities(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    """The digest of each file, "" if it cannot be read, which is reported when it is opened; and the group that it names."""
    return [identity_of(candidate) for candidate in candidates]
