"""The pictures that were decoded last: a picture with many boxes is decoded once, not for each of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, Protocol, TypeVar

from headstart.forks import forks, lock_free_at_forks
from headstart.storage import sha256_of_bytes

MOST_PICTURES = 16  # more than threads work on at once
MOST_PIXELS = 32_000_000  # of all together, 96 MB; the last picture is kept whatever its size

Key = tuple[int, str, int, int, str]


class Sized(Protocol):
    """A decoded picture."""

    @property
    def width(self) -> int:
        """In pixels."""
        ...

    @property
    def height(self) -> int:
        """In pixels."""
        ...


P = TypeVar("P", bound=Sized)


@dataclass(slots=True)
class _Picture(Generic[P]):
    turn: Lock = field(default_factory=Lock)
    decoded: P | None = None


class RecentPictures(Generic[P]):
    """Decoded pictures by what their files contain; several threads may ask."""

    def __init__(self) -> None:
        self._lock = lock_free_at_forks()
        self._pictures: dict[Key, _Picture[P]] = {}  # the last one last

    def decoded(self, file: bytes, max_pixels: int, decoding: int, channels: str, decode: Callable[[], P]) -> P:
        """The picture in the bytes of a file; one thread decodes it, others wait. Raises what `decode` raises."""
        # a lock that a thread of the parent held is never free
        key = (forks(), sha256_of_bytes(file), max_pixels, decoding, channels)
        with self._lock:
            picture = self._pictures.pop(key, None) or _Picture[P]()
            self._pictures[key] = picture
            self._forget()
        with picture.turn:
            if picture.decoded is None:
                picture.decoded = decode()
            return picture.decoded

    def _forget(self) -> None:
        """Forgets those that were asked for longest ago."""
        n_pixels = 0
        for n_newer, (key, picture) in enumerate(reversed(list(self._pictures.items()))):
            n_pixels += picture.decoded.width * picture.decoded.height if picture.decoded else 0
            if n_newer >= MOST_PICTURES or (n_pixels > MOST_PIXELS and n_newer):
                del self._pictures[key]
