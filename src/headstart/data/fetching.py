"""Candidates in chunks; what is elsewhere is fetched once, while the chunk before is worked on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

from headstart.addresses.address import protocol_of
from headstart.data.image_files import remote_part
from headstart.data.remote_file import NOT_FETCHED, Fetched, RemoteFile
from headstart.data.sources import Candidate
from headstart.errors import DataError

FETCHED_IMAGES, FETCHED_BYTES = 256, 64_000_000  # of a chunk of remote files; two chunks are in memory
UNKNOWN_BYTES = 1_000_000  # taken for the size of a file whose store does not say it
AT_ONCE = 16  # requests: a store answers slowly, but many at a time
NO_CHANCE = 16  # images: where none of so many can be fetched from a store, it is not for what they are
Coming = dict[RemoteFile, Future[Fetched]]
OF_MANY_HOSTS = {"http", "https"}  # links, of which many in a row may be dead


def chunks_of(candidates: Sequence[Candidate], n_images: int, first: int | None = None) -> Iterator[Sequence[Candidate]]:
    """Yields the candidates in their order, up to `n_images` together, and `first` at first.

    Remote ones come with their bytes, and fewer together. Raises DataError if a store gives none of them.
    """
    if any(remote_part(candidate.file) for candidate in candidates):
        yield from _fetched_chunks(candidates)
        return
    starts = [0, *range(first or n_images, len(candidates), n_images)] if candidates else []
    for start, end in pairwise([*starts, len(candidates)]):
        yield candidates[start:end]


def _fetched_chunks(candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="headstart-fetch") as pool:
        chunk: Sequence[Candidate] = []
        coming: Coming = {}
        try:
            for following in _cut(candidates):
                files = dict.fromkeys(file for one in following if (file := remote_part(one.file)))  # of many boxes once
                before, chunk = chunk, following
                fetched, coming = coming, {file: pool.submit(Fetched.of, file) for file in files}
                if before:
                    yield _checked(before, fetched)
            if chunk:
                yield _checked(chunk, coming)
        finally:
            for one in coming.values():
                one.cancel()


def _cut(candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    start = n_bytes = 0
    last: RemoteFile | None = None
    for number, candidate in enumerate(candidates):
        file = remote_part(candidate.file)
        size = 0 if file is None or file == last else file.size
        size, last = UNKNOWN_BYTES if size is None else size, file
        if number - start == FETCHED_IMAGES or (n_bytes + size > FETCHED_BYTES and number > start):
            yield candidates[start:number]
            start, n_bytes = number, 0
        n_bytes += size
    yield candidates[start:]


def _checked(chunk: Sequence[Candidate], coming: Coming) -> Sequence[Candidate]:
    """The chunk with what was fetched. Raises DataError if a store gave nothing: as rows it would look finished."""
    fetched = {file: one.result() for file, one in coming.items()}
    of_stores = [(file, one.problem) for file, one in fetched.items() if protocol_of(file.address) not in OF_MANY_HOSTS]
    if len(of_stores) >= NO_CHANCE and all(problem.startswith(NOT_FETCHED) for _, problem in of_stores):
        first, problem = of_stores[0]
        raise DataError(
            f"none of {len(of_stores)} images can be fetched; the first: {first}: {problem}",
            hint="check the credentials and the network of the machine that computes, then start again",
        )
    return [replace(one, member=fetched[file]) if (file := remote_part(one.file)) else one for one in chunk]
