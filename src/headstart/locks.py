"""A file that names the process that is at work on something, so that a second one keeps away."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from headstart.errors import SettingsError
from headstart.machine import ProcessMark


@contextmanager
def locked(lock: Path, what: str) -> Iterator[None]:
    """Holds the file `lock` while the block runs. One whose process was killed is taken over.

    Raises SettingsError, which says that `what` is being written, where another process holds it.
    """
    if not _take(lock):
        _drop_if_stale(lock)
        if not _take(lock):
            raise SettingsError(
                f"{what} is being written by another process", hint=f"wait for it; where there is none any more, delete {lock}"
            )
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take(lock: Path) -> bool:
    try:
        with lock.open("x", encoding="utf-8") as file:
            json.dump(asdict(ProcessMark.own()), file)
    except FileExistsError:
        return False
    return True


def _drop_if_stale(lock: Path) -> None:
    try:
        content = lock.read_text(encoding="utf-8")
        holder = ProcessMark(**json.loads(content))
    except (FileNotFoundError, ValueError, TypeError):  # released in this moment; or only just made, and not filled yet
        return
    if holder.may_run():
        return
    aside = lock.with_name(f"{lock.name}.{uuid.uuid4().hex[:8]}")
    try:
        lock.rename(aside)
    except FileNotFoundError:  # another process was faster
        return
    if aside.read_text(encoding="utf-8") != content:  # another process was faster still, and this is its lock
        aside.rename(lock)
        return
    aside.unlink()
