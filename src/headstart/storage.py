"""Where headstart stores things, digests of content, and files that are written completely or not at all."""

import atexit
import csv
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.errors import SettingsError

CHUNK_BYTES = 1 << 20
ASIDE = ".{}.{}.tmp"  # the name of a file while it is written
AnyPath = str | os.PathLike[str]  # what a function of the Python interface takes where it means a path


def temporary_folder() -> Path:
    """A new folder that is removed when the process ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="headstart-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not when a forked process ends
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def home() -> Path:
    """The folder for weights and data that several runs share: HEADSTART_HOME if set, else the platform's cache folder.

    Raises SettingsError if it would be in the user's folder and the user has none, as in some containers.
    """
    try:
        given = os.environ.get("HEADSTART_HOME")
        if given:
            return Path(given).expanduser()
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "headstart" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "headstart"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
    except RuntimeError as error:  # of Path.home and expanduser
        raise SettingsError(
            "headstart needs a folder to keep compiled networks in, and this user has no home folder",
            hint="set HEADSTART_HOME to a folder that can be written to",
        ) from error


def files_in(folder: Path) -> Sequence[tuple[Path, float, int]]:
    """(file, time of last use, bytes) of each file in a folder of the cache, including half-written ones."""
    found = []
    for file in folder.glob("*") if folder.is_dir() else ():
        try:
            status = file.stat()
        except FileNotFoundError:  # another process has freed space
            continue
        found.append((file, status.st_mtime, status.st_size))
    return found


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_bytes(data: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a path next to `path` to write to; it replaces `path` when the block ends, and is removed if the block fails.

    After a power cut either the old file or the new one is there, never an empty one. This costs milliseconds. A file that is
    checked when it is read, and can be computed again, does not need `durable`.
    The file gets the permissions of the process's umask: safetensors would make it readable only by its owner, and a service
    that runs as another user could not load the model. An OSError names the file, whatever library failed to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(ASIDE.format(path.name, uuid.uuid4().hex[:8]))
    try:
        aside.touch()
        mode = aside.stat().st_mode
        aside.unlink()
        with _named_in_errors(path):
            yield aside
        aside.chmod(mode)
        replace_file(aside, path, durable=durable)
    finally:
        aside.unlink(missing_ok=True)


def remove_asides(path: Path) -> None:
    """Removes what killed processes left of writing `path`, which may be large; only for the one process that writes it now."""
    for left in path.parent.glob(ASIDE.format(glob.escape(path.name), "*")):
        left.unlink(missing_ok=True)


@contextmanager
def atomic_folder(place: Path) -> Iterator[Path]:
    """Yields an empty folder to fill; it replaces `place` when the block ends, and is removed if the block fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as aside:
        new = Path(aside) / "new"
        new.mkdir()
        with _named_in_errors(place):
            yield new
        replace_folder(new, place)


@contextmanager
def _named_in_errors(place: Path) -> Iterator[None]:
    """An error of the system within the block, such as a full disk, becomes an OSError that names a file, else `place`."""
    try:
        yield
    except Exception as error:
        # Rust libraries, such as safetensors, raise errors of their own that only word the system's.
        worded = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(worded[1]) if worded else None
        if number is None or (isinstance(error, OSError) and error.filename):
            raise
        raise OSError(number, os.strerror(number), str(place)) from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with `\\n` line endings on every platform, completely or not at all."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, completely or not at all. NaN is refused: it is not valid JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table as RFC 4180 has it, in UTF-8, completely or not at all; None becomes an empty cell."""
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def replace_file(new: Path, place: Path, *, durable: bool = True) -> None:
    """Moves the file `new` to `place`; with `durable`, its content is flushed to disk before and its name afterwards."""
    if durable:
        _sync(new)
    new.replace(place)
    if durable:
        _sync(place.parent)


def replace_folder(new: Path, place: Path) -> None:
    """Moves the folder `new` to `place`. An existing folder is moved aside first and deleted last.

    Everything in `new` is flushed to disk first: after a power cut either the old folder or the complete new one is there.
    """
    for path in [*new.rglob("*"), new]:
        if path.is_dir() or (path.is_file() and not path.is_symlink()):
            _sync(path)
    if not place.exists():
        new.rename(place)
        _sync(place.parent)
        return
    old = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        place.rename(old)
    except OSError:
        if not os.path.ismount(place):
            raise
        _replace_content(new, place)  # a mount point cannot be moved, so its content is replaced
        return
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise
    _sync(place.parent)  # before the old folder is deleted
    shutil.rmtree(old)


def _sync(path: Path) -> None:
    """Flushes a file, or the list of files in a folder, to disk. Skips a folder on systems that cannot do this for folders."""
    is_folder = path.is_dir()
    if is_folder and sys.platform == "win32":
        return
    number = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def _replace_content(new: Path, place: Path) -> None:
    old = place / f".{uuid.uuid4().hex[:8]}.old"
    before = list(place.iterdir())
    old.mkdir()
    for entry in before:
        entry.rename(old / entry.name)
    for entry in list(new.iterdir()):
        shutil.move(entry, place / entry.name)
    _sync(place)
    shutil.rmtree(old)
    new.rmdir()
