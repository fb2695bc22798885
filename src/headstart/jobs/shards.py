"""Shards: what one worker computes together, mostly images, named by what that is, so that a finished one is known again."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from headstart.data.archives import ZipMember
from headstart.data.image_files import whole_file
from headstart.data.remote_file import RemoteFile
from headstart.data.sources import Candidate

# Of a shard: two seconds of work for a core, which are lost if its worker is killed. Of fewer images fewer, so that each worker
# gets some. How many workers there are has no say: a job that goes on with others must find the same shards.
MOST_IMAGES, FEWEST_IMAGES, SHARDS = 512, 16, 64
MOST_BYTES = 256_000_000  # of its files

Identity = tuple[str | int, ...]
Item = TypeVar("Item")  # what a task computes a row of: a Candidate, or anything Identified


class Identified(Protocol):
    """What is no file and knows itself what it is."""

    @property
    def identity(self) -> Identity:
        """What tells it from others that the same task computes."""
        ...


@dataclass(frozen=True, slots=True)
class Shard(Generic[Item]):
    """Some items in their order."""

    items: tuple[Item, ...]
    digest: str  # of what its items are and what is computed of them: the name of its part

    @classmethod
    def of(cls, items: Sequence[Item], key: str) -> "Shard[Item]":
        """The shard of these items, where `key` says what is computed."""
        return cls(tuple(items), _digest([*map(_identity, items)], key))

    def halves(self, key: str) -> tuple["Shard[Item]", "Shard[Item]"]:
        """Its first and its second half, of at least two items."""
        middle = len(self.items) // 2
        return Shard.of(self.items[:middle], key), Shard.of(self.items[middle:], key)


@dataclass(frozen=True, slots=True)
class _File:
    """What tells a file from others and from what it was before."""

    identity: Identity
    n_bytes: int


def shards_of(candidates: Iterable[Candidate], key: str, total: int = 0) -> Iterator[Shard[Candidate]]:
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
            yield Shard(tuple(waiting), _digest([file.identity for file in files], key))
            waiting, files, n_bytes = [], [], 0
        waiting.append(candidate)
        files.append(file)
        n_bytes += file.n_bytes
    if waiting:
        yield Shard(tuple(waiting), _digest([file.identity for file in files], key))


def _digest(identities: Sequence[Identity], key: str) -> str:
    return hashlib.sha256(json.dumps([key, *identities]).encode()).hexdigest()


def _identity(item: Any) -> Identity:
    return _file_of(item).identity if isinstance(item, Candidate) else item.identity


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
