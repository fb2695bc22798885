"""Shards: some images that one worker computes together, and what they are, so that a finished one is known again."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from headstart.data.archives import ZipMember
from headstart.data.image_files import whole_file
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate

# Of a shard: two seconds of work for a core, which are lost if its worker is killed. Of fewer images fewer, so that each worker
# gets some. How many workers there are has no say: a job that goes on with others must find the same shards.
MOST_IMAGES, FEWEST_IMAGES, SHARDS = 512, 16, 64
MOST_BYTES = 256_000_000  # of its files


@dataclass(frozen=True, slots=True)
class Shard:
    """Some images in their order."""

    candidates: tuple[Candidate, ...]
    digest: str  # of what its images are and what is computed of them: the name of its part

    def halves(self, key: str) -> tuple["Shard", "Shard"]:
        """Its first and its second half, of at least two images, where `key` says what is computed."""
        middle = len(self.candidates) // 2
        first, second = self.candidates[:middle], self.candidates[middle:]
        return _shard(first, [*map(_file_of, first)], key), _shard(second, [*map(_file_of, second)], key)


@dataclass(frozen=True, slots=True)
class _File:
    """What tells a file from others and from what it was before."""

    identity: tuple[str | int, ...]
    n_bytes: int


def shards_of(candidates: Iterable[Candidate], key: str, total: int = 0) -> Iterator[Shard]:
    """The candidates in their order, cut into shards.

    `key` says what is computed of them, `total` how many there are, 0 if that is not known yet. A shard of which a file has
    changed since is another shard.
    """
    most_images = min(MOST_IMAGES, max(FEWEST_IMAGES, total // SHARDS)) if total else MOST_IMAGES
    waiting: list[Candidate] = []
    files: list[_File] = []
    n_bytes = 0
    for candidate in candidates:
        file = _file_of(candidate)
        if waiting and (len(waiting) == most_images or n_bytes + file.n_bytes > MOST_BYTES):
            yield _shard(waiting, files, key)
            waiting, files, n_bytes = [], [], 0
        waiting.append(candidate)
        files.append(file)
        n_bytes += file.n_bytes
    if waiting:
        yield _shard(waiting, files, key)


def _shard(candidates: Sequence[Candidate], files: Sequence[_File], key: str) -> Shard:
    named = json.dumps([key, *(file.identity for file in files)]).encode()
    return Shard(tuple(candidates), hashlib.sha256(named).hexdigest())


def _file_of(candidate: Candidate) -> _File:
    whole = _whole_file_of(candidate)
    return whole if candidate.box is None else _File((*whole.identity, candidate.box.mark.decode()), whole.n_bytes)


def _whole_file_of(candidate: Candidate) -> _File:
    if isinstance(candidate.member, ZipMember):
        info = candidate.member.info
        return _File((str(candidate.file), info.file_size, info.CRC), info.file_size)
    file = whole_file(candidate.file)
    if isinstance(file, RemoteFile):
        return _File(file.identity, file.size or 0)
    place = os.path.abspath(file)  # noqa: PTH100 - without following links
    try:
        found = os.stat(place)  # noqa: PTH116 - of a million files
    except OSError:  # reading it will say why
        return _File((place, -1), 0)
    return _File((place, found.st_size, found.st_mtime_ns), found.st_size)
