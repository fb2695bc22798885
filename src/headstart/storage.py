"""Where headstart keeps things, how it names them by content, and how it writes them so that no half file is ever seen."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def home() -> Path:
    """The folder for weights and data that several runs share: HEADSTART_HOME, else the platform's cache folder."""
    given = os.environ.get("HEADSTART_HOME")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "headstart" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headstart"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"


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
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes `path`'s place when the block ends, and is removed if it fails.

    The file may be read by whom the process's umask lets read: safetensors would write one for its owner alone, and a service
    that runs as somebody else could not load the model.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        aside.touch()
        mode = aside.stat().st_mode
        aside.unlink()
        yield aside
        aside.chmod(mode)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(place: Path) -> Iterator[Path]:
    """Yields an empty folder to fill; it takes `place`'s place when the block ends, and is removed if it fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as aside:
        new = Path(aside) / "new"
        new.mkdir()
        yield new
        replace_folder(new, place)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with `\\n` line ends on every platform, whole or not at all."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. NaN is refused: it is no JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def replace_folder(new: Path, place: Path) -> None:
    """Puts folder `new` at `place`. A folder there before is moved aside first and deleted last."""
    if not place.exists():
        new.rename(place)
        return
    old = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        place.rename(old)
    except OSError:
        if not os.path.ismount(place):
            raise
        _replace_content(new, place)  # a mount point cannot be moved: what is in it changes places instead
        return
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old)


def _replace_content(new: Path, place: Path) -> None:
    old = place / f".{uuid.uuid4().hex[:8]}.old"
    before = list(place.iterdir())
    old.mkdir()
    for entry in before:
        entry.rename(old / entry.name)
    for entry in list(new.iterdir()):
        shutil.move(entry, place / entry.name)
    shutil.rmtree(old)
    new.rmdir()
