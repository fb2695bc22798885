"""Many small byte strings by digest, in few files: a million files would take minutes to list and to remove.

A pack begins with a table of slots; the contents follow. Each process writes packs of its own, so processes need no lock.
A content is written before its slot, so a killed process leaves nothing half-written that could be found. A pack of which
anything is damaged is reported, removed and made again, as is a part of the store.
"""

import os
import struct
import uuid
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from headstart.errors import HeadstartWarning
from headstart.forks import forks, lock_free_at_forks
from headstart.model.digest_index import DigestIndex
from headstart.storage import files_in

SLOTS = 1024  # of a pack
SLOT = np.dtype([("digest", "S32"), ("offset", "<u4"), ("length", "<u4"), ("checksum", "<u4")])
ONE_SLOT = struct.Struct("<32sIII")
TABLE_BYTES = SLOTS * SLOT.itemsize
MAX_PACK_BYTES = 16 << 20
PACKS_IN_LIMIT = 8  # at least: what is removed when there is no more room is a small part of all
PACK_BITS = 32  # of a place, for the slot within a pack; the higher bits are the pack's number
ENDING = ".pack"

_LOCK = lock_free_at_forks()  # held for less than a millisecond, but when room is made


class _NewPack:
    """The pack that this process writes to."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._process = path, forks()
        self._n, self._end = 0, TABLE_BYTES
        with path.open("xb", buffering=0) as file:
            _write(file, 0, bytes(TABLE_BYTES))

    def has_room_for(self, content: bytes, max_bytes: int) -> bool:
        """False also in a process that was forked from the one that began this pack: both would write to the same place."""
        return self._n < SLOTS and self._end + len(content) <= max_bytes and self._process == forks()

    def append(self, digest: bytes, content: bytes) -> int:
        """Its slot. The content comes first: what is not complete has no slot."""
        with self.path.open("r+b", buffering=0) as file:  # not kept open: Windows could not remove it
            _write(file, self._end, content)
            slot = ONE_SLOT.pack(digest, self._end, len(content), _checksum(digest, content))
            _write(file, self._n * SLOT.itemsize, slot)
        self._end += len(content)
        self._n += 1
        return self._n - 1


def _write(file: IO[bytes], at: int, content: bytes) -> None:
    file.seek(at)
    if file.write(content) != len(content):
        raise OSError("the disk is full")


class Packs:
    """What is kept of one `space`: a name that changes with everything that changes a content, besides its digest.

    All spaces of a folder together stay below `limit` bytes; the packs that were not used for longest are removed first.
    `make_room(n_bytes)` is called before a pack begins, which will have up to that many bytes.
    """

    def __init__(self, folder: Path, space: str, limit: int, make_room: Callable[[int], object]) -> None:
        self._folder, self._space, self._limit, self._make_room_beside = folder, space, limit, make_room
        self._pack_bytes = min(MAX_PACK_BYTES, limit // PACKS_IN_LIMIT)
        self._index = DigestIndex()
        self._packs: list[Path] = []
        self._used: set[int] = set()  # packs that are marked as used
        self._new: _NewPack | None = None
        for pack in sorted(folder.glob(f"{space}-*{ENDING}")):
            digests = slots_of(pack)["digest"]
            self._packs.append(pack)
            self._index.add(digests, self._places(np.arange(len(digests))))

    def get(self, digest: bytes) -> bytes | None:
        """The content that was kept for the 32 bytes of a SHA-256, or None."""
        with _LOCK:
            place = int(self._index.find(np.array([digest], SLOT["digest"]))[0])
        if place < 0:
            return None
        number, slot = place >> PACK_BITS, place & ((1 << PACK_BITS) - 1)
        pack = self._packs[number]
        try:
            content = _read(pack, slot, digest)
        except FileNotFoundError:  # another process has freed space
            self._forget(number)
            return None
        except OSError as error:  # too many open files, no permission, a network drive that is not connected
            self._forget(number)
            _tell(f"a part of the cache cannot be read now, and is made anew: {pack}: {error.strerror or error}")
            return None
        if content is None:
            self._forget(number)
            with suppress(OSError):  # read-only, or another process was faster
                pack.unlink()
            _tell(f"a part of the cache is damaged, and is made anew: {pack.name}")
        elif number not in self._used:
            self._used.add(number)
            with suppress(OSError):
                os.utime(pack)
        return content

    def add(self, digest: bytes, content: bytes) -> None:
        """Keeps a content that was not there; one that is too large for the limit is not kept. Raises OSError."""
        if TABLE_BYTES + len(content) > self._pack_bytes:
            return
        with _LOCK:
            try:
                has_room = self._new is not None and self._new.has_room_for(content, self._pack_bytes)
                slot = (self._new if self._new is not None and has_room else self._begin()).append(digest, content)
            except FileNotFoundError:  # another process has freed space
                slot = self._begin().append(digest, content)
            self._index.add(np.array([digest], SLOT["digest"]), self._places(np.array([slot])))

    def _places(self, slots: np.ndarray) -> np.ndarray:
        """(n,) int64: the places of slots of the newest pack."""
        return (np.int64(len(self._packs) - 1) << PACK_BITS) + slots.astype(np.int64)

    def _forget(self, number: int) -> None:
        with _LOCK:
            self._index.keep(np.setdiff1d(np.arange(len(self._packs)), [number]), PACK_BITS)
            if self._new is not None and self._new.path == self._packs[number]:
                self._new = None

    def _begin(self) -> _NewPack:
        """A new pack, for which room is made first."""
        self._make_room()
        self._new = _NewPack(self._folder / f"{self._space}-{uuid.uuid4().hex[:12]}{ENDING}")
        self._packs.append(self._new.path)
        return self._new

    def _make_room(self) -> None:
        packs = sorted(files_in(self._folder), key=lambda found: found[1])
        total = self._pack_bytes + sum(size for _, _, size in packs)
        for pack, _, size in packs:
            if total <= self._limit:
                break
            with suppress(FileNotFoundError, PermissionError):  # another process was faster; Windows keeps open files
                pack.unlink()
                total -= size
        self._make_room_beside(self._pack_bytes)


def slots_of(pack: Path) -> np.ndarray:
    """(n,) SLOT of the contents of a pack; none if it is gone or cannot be read."""
    try:
        table = np.fromfile(pack, SLOT, SLOTS)
    except OSError:
        return np.empty(0, SLOT)
    return table[: np.append(np.flatnonzero(table["length"] == 0), len(table))[0]]


def _tell(message: str) -> None:
    warnings.warn(message, HeadstartWarning, stacklevel=4)


def _read(pack: Path, slot: int, digest: bytes) -> bytes | None:
    """The content of a slot; None if it is damaged."""
    with pack.open("rb", buffering=0) as file:
        file.seek(slot * SLOT.itemsize)
        entry = file.read(SLOT.itemsize)
        if len(entry) != SLOT.itemsize:
            return None
        _, offset, length, checksum = ONE_SLOT.unpack(entry)
        file.seek(offset)
        content = file.read(length) if length <= MAX_PACK_BYTES else b""
    return content if len(content) == length and _checksum(digest, content) == checksum else None


def _checksum(digest: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(digest))
