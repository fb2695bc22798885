"""One pass over the files: each is read once, decoded, and turned into its feature vector; what is stored is not done again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.images import UnreadableImage
from headstart.data.preprocess import Preprocess
from headstart.data.sources import Candidate, Skipped
from headstart.model.extractor import Extractor
from headstart.model.pipeline import Opened, Pipeline
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
    vectors = np.empty((0, 0), np.float32)
    work = Work()
    rows = scan_rows(candidates, preprocess, extractor, store=store, workers=workers, progress=progress, stage=stage, work=work)
    for row in rows:
        if isinstance(row, Skipped):
            skipped.append(row)
        else:
            if not images:  # filled in place: stacking at the end would take the memory twice
                vectors = np.empty((len(candidates), len(row.vector)), np.float32)
            vectors[len(images)] = row.vector
            images.append(row.image)
            facts.append(row.facts)
    return Scan(tuple(images), tuple(skipped), tuple(facts), vectors[: len(images)], work)


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
    shelf = store.shelf(preprocess, extractor) if store else None
    pipeline = Pipeline(preprocess, extractor, identify=True, describe=shelf is not None)
    for start in range(0, len(candidates), CHUNK_IMAGES):
        rows = _rows(candidates[start : start + CHUNK_IMAGES], pipeline, shelf, workers, work)
        for done, row in enumerate(rows, start=start + 1):
            work.wall_seconds = time.perf_counter() - began
            progress(stage, done, len(candidates))
            yield row


def _rows(
    chunk: Sequence[Candidate], pipeline: Pipeline, shelf: "Shelf | None", workers: int | None, work: Work
) -> Iterator[ScannedImage | Skipped]:
    """A row a candidate, in order; the shelf is asked first, where there is one, and gets what is new."""
    known = _known(chunk, shelf, workers, needs_vector=pipeline.extractor is not None) if shelf else [None] * len(chunk)
    fresh: list[Opened] = []
    computed = pipeline.run((c for c, found in zip(chunk, known, strict=True) if found is None), workers)
    try:
        for candidate, found in zip(chunk, known, strict=True):
            if found is None:
                _, found = next(computed)
                fresh.append(found)
                work.computed += not found.problem
                work.decode_seconds += found.decode_seconds
                work.network_seconds += found.network_seconds
            else:
                work.stored += not found.problem
            yield _row(candidate, found)
    finally:  # also what was computed before a Ctrl-C is kept
        computed.close()
        if shelf and fresh:
            _keep(fresh, shelf)


def _known(chunk: Sequence[Candidate], shelf: "Shelf", workers: int | None, *, needs_vector: bool) -> list[Opened | None]:
    """What the shelf has of each candidate; None where anything is to be computed."""
    tasks = [chunk[start : start + HASHED_TOGETHER] for start in range(0, len(chunk), HASHED_TOGETHER)]
    digests = [digest for task in map_in_threads(_digests, tasks, workers) for digest in task]
    facts = shelf.facts(digests)
    vectors = shelf.vectors(digests)

    def known(digest: str) -> Opened | None:
        fact, vector = facts.get(digest), vectors.get(digest)
        if fact is None or (needs_vector and vector is None and not fact.problem):
            return None
        return Opened(fact.problem, sha256=digest, facts=fact, vector=vector)

    return [known(digest) for digest in digests]


def _keep(fresh: Sequence[Opened], shelf: "Shelf") -> None:
    by_digest = {opened.sha256: opened for opened in fresh if opened.sha256}
    shelf.keep(
        {digest: ImageFacts(problem=one.problem) if one.problem else one.facts for digest, one in by_digest.items()},
        {digest: one.vector for digest, one in by_digest.items() if one.vector is not None},
    )


def _row(candidate: Candidate, opened: Opened) -> ScannedImage | Skipped:
    if opened.problem:
        return Skipped(candidate.path, opened.problem)
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
