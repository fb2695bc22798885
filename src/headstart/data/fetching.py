"""Candidates in chunks; what is elsewhere is fetched once, while the chunk before is worked on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

from headstart.addresses.address import protocol_of
from headstart.data.remote_file import NOT_FETCHED, Fetched, RemoteFile
from headstart.data.sources import Candidate
from headstart.errors import DataError

FETCHED_IMAGES, FETCHED_BYTES = 256, 64_000_000  # of a chunk of remote files; two chunks are in memory
UNKNOWN_BYTES = 1_000_000  # taken for the size of a file whose store does not say it
AT_ONCE = 16  # requests: a store answers slowly, but many at a time
NO_CHANCE = 16  # images: where none of so many can be fetched from a store, it is not for what they are
OF_MANY_HOSTS = {"http", "https"}  # links, of which many in a row may be dead


def chunks_of(candidates: Sequence[Candidate], n_images: int, first: int | None = None) -> Iterator[Sequence[Candidate]]:
    """Yields the candidates in their order, up to `n_images` together, and `first` at first.

    Remote ones come with their bytes, and fewer together. Raises DataError if a store gives none of them.
    """
    if any(isinstance(candidate.file, RemoteFile) for candidate in candidates):
        yield from _fetched_chunks(candidates)
        return
    starts = [0, *range(first or n_images, len(candidates), n_images)] if candidates else []
    for start, end in pairwise([*starts, len(candidates)]):
        yield candidates[start:end]


def _fetched_chunks(candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="headstart-fetch") as pool:
        coming: list[Future[Candidate]] = []
        try:
            for chunk in _cut(candidates):
                before, coming = coming, [pool.submit(_with_content, candidate) for candidate in chunk]
                if before:
                    yield _checked([one.result() for one in before])
            if coming:
                yield _checked([one.result() for one in coming])
        finally:
            for one in coming:
                one.cancel()


def _cut(candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    start = n_bytes = 0
    for number, candidate in enumerate(candidates):
        size = candidate.file.size if isinstance(candidate.file, RemoteFile) else 0
        size = UNKNOWN_BYTES if size is None else size
        if number - start == FETCHED_IMAGES or (n_bytes + size > FETCHED_BYTES and number > start):
            yield candidates[start:number]
            start, n_bytes = number, 0
        n_bytes += size
    yield candidates[start:]


def _checked(chunk: Sequence[Candidate]) -> Sequence[Candidate]:
    """The chunk. Raises DataError if a store gave nothing of it: as rows with reasons, that would look finished."""
    fetched = [one for one in chunk if isinstance(one.file, RemoteFile) and protocol_of(one.file.address) not in OF_MANY_HOSTS]
    problems = [one.member.problem for one in fetched if isinstance(one.member, Fetched)]
    if len(problems) >= NO_CHANCE and all(problem.startswith(NOT_FETCHED) for problem in problems):
        raise DataError(
            f"none of {len(problems)} images can be fetched; the first: {fetched[0].path}: {problems[0]}",
            hint="check the credentials and the network of the machine that computes, then start again",
        )
    return chunk


def _with_content(candidate: Candidate) -> Candidate:
    return replace(candidate, member=Fetched.of(candidate.file)) if isinstance(candidate.file, RemoteFile) else candidate
