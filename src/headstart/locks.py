"""A lock file: only one process at a time may write something."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from headstart.errors import SettingsError


@contextmanager
def locked(lock: Path, what: str) -> Iterator[None]:
    """Holds the lock file `lock` while the block runs, then removes it. The system frees the lock of a killed process; the file
    that it leaves behind blocks nobody, whatever it contains.

    Raises SettingsError, which says that `what` is being written, if another process holds the lock.
    """
    held = FileLock(lock, thread_local=False)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise SettingsError(f"{what} is being written by another process", hint="wait until that process has ended") from error
    try:
        yield
    finally:
        try:
            # Removed while the lock is held: a process that opened the file meanwhile sees that it is gone and does not use it.
            lock.unlink(missing_ok=True)
            is_left = False
        except PermissionError:  # Windows does not remove an open file
            is_left = True
        held.release()
        if is_left:
            with suppress(PermissionError):
                lock.unlink(missing_ok=True)
