"""Thumbnails under home(), each made once."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from headstart.data.encoding import encode_thumbnail
from headstart.data.images import decode, pixels_version
from headstart.data.unreadable import UnreadableImage
from headstart.errors import HeadstartError, HeadstartWarning
from headstart.forks import forks, lock_free_at_forks
from headstart.model.feature_store import THUMBNAILS, cache_limit, make_room
from headstart.model.packs import ENDING, Packs, slots_of
from headstart.storage import files_in, home, sha256_of_bytes

SIDES_PX = (160, 320)  # of the longer side
MEDIA_TYPE = "image/jpeg"
SHARE = 4  # of the limit thumbnails take up to this part: they are made in a tenth of the time that features take
FORM = 1  # raised with every change here that changes a thumbnail

_TAKING_TURNS = lock_free_at_forks()


class ChangedImage(UnreadableImage):
    """The file holds other bytes than it did when it was scanned."""

    def __init__(self) -> None:
        super().__init__("the file has changed since it was read")


class Thumbnails:
    """Thumbnails of images, known by the SHA-256 of their files. May be used by several threads and processes at once."""

    def __init__(self, root: Path | None = None, channels: str = "") -> None:
        """`channels`, as `decode` takes them, are what is chosen of stacks."""
        self._root, self._channels, limit = root or home(), channels, cache_limit()
        self._packs = {
            side_px: Packs(
                self._root / THUMBNAILS,
                sha256_of_bytes(f"{FORM} {side_px} {pixels_version(channels=channels)}".encode())[:16],
                limit // SHARE,
                lambda n_bytes: make_room(self._root, limit - n_bytes),
            )
            for side_px in SIDES_PX
        }
        self._can_write = True
        self._turns: WeakValueDictionary[tuple[int, int, str], threading.Lock] = WeakValueDictionary()

    def get(self, digest: str, read: Callable[[], bytes], side_px: int) -> bytes:
        """A JPEG file of the whole image, its longer side at most `side_px`, one of SIDES_PX; alpha is put on white.

        `read` gives the bytes of the image's file, and is called if the thumbnail is not kept. Raises UnreadableImage, and
        ChangedImage if these bytes have another SHA-256.
        """
        if side_px not in SIDES_PX:
            raise HeadstartError(f"there are no thumbnails of {side_px} px", hint=f"ask for one of {SIDES_PX}")
        packs, key = self._packs[side_px], bytes.fromhex(digest)
        if (kept := packs.get(key)) is not None:
            return kept
        with self._turn_of(side_px, digest):  # several threads that ask at once wait for the first
            if (kept := packs.get(key)) is not None:
                return kept
            data = read()
            if sha256_of_bytes(data) != digest:
                raise ChangedImage
            thumbnail = encode_thumbnail(decode(data, shorter_side_px=side_px, channels=self._channels).rgb, side_px)
            self._keep(packs, key, thumbnail)
        return thumbnail

    def _turn_of(self, side_px: int, digest: str) -> threading.Lock:
        with _TAKING_TURNS:
            return self._turns.setdefault((forks(), side_px, digest), threading.Lock())

    def _keep(self, packs: Packs, key: bytes, thumbnail: bytes) -> None:
        if not self._can_write:
            return
        try:
            packs.add(key, thumbnail)
        except OSError as error:
            self._can_write = False
            message = f"thumbnails are not kept, because {self._root} cannot be written to: {error.strerror or error}"
            warnings.warn(message, HeadstartWarning, stacklevel=3)


def thumbnails_size(root: Path | None = None) -> tuple[int, int]:
    """(number of thumbnails, bytes on disk) under home()."""
    files = files_in((root or home()) / THUMBNAILS)
    return sum(len(slots_of(file)) for file, _, _ in files if file.suffix == ENDING), sum(size for _, _, size in files)


def clear_thumbnails(root: Path | None = None) -> None:
    """Removes all thumbnails. A process that uses them makes new ones."""
    for file, _, _ in files_in((root or home()) / THUMBNAILS):
        file.unlink(missing_ok=True)
