"""One pass over the files: each is read once, decoded, and turned into its feature vector; what is stored is not done again."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts, facts_of
from headstart.data.images import UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped
from headstart.model.extractor import Extractor
from headstart.progress import Progress, silent
from headstart.storage import sha256_of_bytes
from headstart.threads import map_in_threads

if TYPE_CHECKING:
    from headstart.model.feature_store import FeatureStore, Shelf

HASHED_TOGETHER = 32  # files a task: handing a task to a thread costs as much as hashing a small file
CHUNK_IMAGES = 1024  # looked up in the store together, and written as one part file


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass found."""

    images: tuple[LabelledImage, ...]  # the readable ones, in the order of the candidates
    skipped: tuple[Skipped, ...]
    facts: tuple[ImageFacts, ...]  # of the images; sizes alone where there was no store to keep them in
    vectors: np.ndarray  # (n_images, n_features) float32; n_features is 0 where nothing was computed
    work: "Work"


@dataclass(slots=True)
class Work:
    """What a pass had to do, and where the time went. Seconds are summed over threads."""

    computed: int = 0  # images
    stored: int = 0
    decode_seconds: float = 0.0
    network_seconds: float = 0.0
    wall_seconds: float = 0.0

    def sentence(self) -> str:
        """How fast it was and what limits it, in words."""
        if not self.computed:
            return f"all {self.stored} images were in the store: nothing was computed"
        share = self.network_seconds / max(self.network_seconds + self.decode_seconds, 1e-9)
        stored = f", {self.stored} were in the store" if self.stored else ""
        return (
            f"{self.computed} images computed, {self.computed / max(self.wall_seconds, 1e-9):.0f} a second{stored}; "
            f"of the work {share:.0%} was the network's, {1 - share:.0%} reading and decoding"
        )


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """One readable image, its facts and its feature vector."""

    image: LabelledImage
    facts: ImageFacts
    vector: np.ndarray  # (n_features,) float32; empty where nothing was computed


def scan(
    candidates: Sequence[Candidate],
    preprocess: Preprocess,
    extractor: Extractor | None = None,
    *,
    store: "FeatureStore | None" = None,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = "computing features",
) -> Scan:
    """Opens every candidate. Unreadable ones are listed with their reasons; nothing else is lost.

    With an extractor each image gets its vector, with a store too, only those it lacks are decoded and computed.
    """
    images: list[LabelledImage] = []
    skipped: list[Skipped] = []
    facts: list[ImageFacts] = []
    vectors: list[np.ndarray] = []
    work = Work()
    rows = scan_rows(candidates, preprocess, extractor, store=store, workers=workers, progress=progress, stage=stage, work=work)
    for row in rows:
        if isinstance(row, Skipped):
            skipped.append(row)
        else:
            images.append(row.image)
            facts.append(row.facts)
            vectors.append(row.vector)
    stacked = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
    return Scan(tuple(images), tuple(skipped), tuple(facts), stacked, work)


def scan_rows(
    candidates: Sequence[Candidate],
    preprocess: Preprocess,
    extractor: Extractor | None = None,
    *,
    store: "FeatureStore | None" = None,
    workers: int | None = None,
    progress: Progress = silent,
    stage: str = "computing features",
    work: Work | None = None,
) -> Iterator[ScannedImage | Skipped]:
    """The same row by row, in the order of the candidates, as they come; memory holds one chunk."""
    work = work if work is not None else Work()
    began = time.perf_counter()
    opener = _Opener(preprocess, extractor, store.shelf(preprocess, extractor) if store else None, workers, work)
    for start in range(0, len(candidates), CHUNK_IMAGES):
        for done, row in enumerate(opener.rows(candidates[start : start + CHUNK_IMAGES]), start=start + 1):
            work.wall_seconds = time.perf_counter() - began
            progress(stage, done, len(candidates))
            yield row


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a thread made of one file."""

    sha256: str  # of the file's bytes; "" where they could not be read
    facts: ImageFacts
    view: np.ndarray | None = None  # (size, size, 3) uint8, where the network takes batches
    vector: np.ndarray | None = None
    decode_seconds: float = 0.0
    network_seconds: float = 0.0


class _Opener:
    """Turns chunks of candidates into rows; asks the shelf first, where there is one."""

    def __init__(
        self,
        preprocess: Preprocess,
        extractor: Extractor | None,
        shelf: "Shelf | None",
        workers: int | None,
        work: Work,
    ) -> None:
        self.preprocess, self.extractor, self.shelf, self.workers, self.work = preprocess, extractor, shelf, workers, work

    def rows(self, chunk: Sequence[Candidate]) -> Iterator[ScannedImage | Skipped]:
        """A row a candidate, in order."""
        known = self._known(chunk) if self.shelf else [None] * len(chunk)
        fresh: list[_Opened] = []
        computed = self._computed([candidate for candidate, found in zip(chunk, known, strict=True) if found is None])
        try:
            for candidate, found in zip(chunk, known, strict=True):
                if found is None:
                    opened = next(computed)
                    fresh.append(opened)
                else:
                    opened = found
                    self.work.stored += not found.facts.problem
                yield _row(candidate, opened)
        finally:  # also what was computed before a Ctrl-C is kept
            computed.close()
            if self.shelf and fresh:
                self._keep(fresh)

    def _known(self, chunk: Sequence[Candidate]) -> list[_Opened | None]:
        """What the shelf has of each candidate; None where anything is to be computed."""
        assert self.shelf is not None
        tasks = [chunk[start : start + HASHED_TOGETHER] for start in range(0, len(chunk), HASHED_TOGETHER)]
        digests = [digest for task in map_in_threads(_digests, tasks, self.workers) for digest in task]
        facts = self.shelf.facts(digests)
        vectors = self.shelf.vectors(digests)
        needs_vector = self.extractor is not None

        def known(digest: str) -> _Opened | None:
            fact, vector = facts.get(digest), vectors.get(digest)
            if fact is None or (needs_vector and vector is None and not fact.problem):
                return None
            return _Opened(digest, fact, vector=vector)

        return [known(digest) for digest in digests]

    def _computed(self, candidates: Sequence[Candidate]) -> Generator[_Opened, None, None]:
        batch: list[_Opened] = []
        wanted = self.extractor.batch_images if self.extractor else 1
        for opened in map_in_threads(self._open, candidates, self.workers):
            batch.append(opened)
            n_views = sum(waiting.view is not None for waiting in batch)
            if n_views in (0, wanted):  # 0: nothing here waits for the network
                yield from self._flushed(batch)
                batch = []
        yield from self._flushed(batch)

    def _open(self, candidate: Candidate) -> _Opened:
        began = time.perf_counter()
        sha256 = ""
        try:
            data = candidate.read()
            sha256 = sha256_of_bytes(data)
            decoded = self.preprocess.decode(data)
        except UnreadableImage as unreadable:
            return _Opened(sha256, ImageFacts(problem=unreadable.reason), decode_seconds=time.perf_counter() - began)
        facts = facts_of(decoded) if self.shelf else ImageFacts(width=decoded.width, height=decoded.height)
        view = self.preprocess.view(decoded.rgb) if self.extractor else None
        ended = time.perf_counter()
        if view is None or self.extractor is None or self.extractor.batch_images > 1:
            return _Opened(sha256, facts, view, decode_seconds=ended - began)
        vector = self.extractor.compute(view[None])[0]
        return _Opened(sha256, facts, None, vector, ended - began, time.perf_counter() - ended)

    def _flushed(self, batch: Sequence[_Opened]) -> Iterator[_Opened]:
        """The batch with the vectors of those that have none yet."""
        views = [opened.view for opened in batch if opened.view is not None]
        began = time.perf_counter()
        vectors = iter(self.extractor.compute(np.stack(views)) if self.extractor and views else ())
        self.work.network_seconds += time.perf_counter() - began
        for opened in batch:
            self.work.computed += not opened.facts.problem
            self.work.decode_seconds += opened.decode_seconds
            self.work.network_seconds += opened.network_seconds
            yield opened if opened.view is None else replace(opened, view=None, vector=next(vectors))

    def _keep(self, fresh: Sequence[_Opened]) -> None:
        assert self.shelf is not None
        by_digest = {opened.sha256: opened for opened in fresh if opened.sha256}
        self.shelf.keep(
            {digest: opened.facts for digest, opened in by_digest.items()},
            {digest: opened.vector for digest, opened in by_digest.items() if opened.vector is not None},
        )


def _row(candidate: Candidate, opened: _Opened) -> ScannedImage | Skipped:
    if opened.facts.problem:
        return Skipped(candidate.path, opened.facts.problem)
    image = LabelledImage(
        path=candidate.path,
        file=candidate.file,
        label=candidate.label or "",
        split=candidate.split,
        group=candidate.group,
        sha256=opened.sha256,
        width=opened.facts.width,
        height=opened.facts.height,
    )
    return ScannedImage(image, opened.facts, opened.vector if opened.vector is not None else np.empty(0, np.float32))


def _digests(candidates: Sequence[Candidate]) -> list[str]:
    """SHA-256 of each file's bytes; "" where they cannot be read, which opening it will explain."""
    return [digest_of(candidate) for candidate in candidates]


def digest_of(candidate: Candidate) -> str:
    """SHA-256 of a file's bytes; "" where they cannot be read."""
    try:
        return sha256_of_bytes(candidate.read())
    except UnreadableImage:
        return ""
