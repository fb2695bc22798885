"""A lock on something that one process at a time may write."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from headstart.errors import SettingsError


@contextmanager
def locked(lock: Path, what: str) -> Iterator[None]:
    """Holds the file `lock` while the block runs, and removes it then. The system frees the lock of a process that is killed;
    the file that is left then, whatever it holds, stops nobody.

    Raises SettingsError, which says that `what` is being written, where another process holds the lock.
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
            # While it is held: who has opened the file in the meantime finds it gone, and does not take it for the lock.
            lock.unlink(missing_ok=True)
            is_left = False
        except PermissionError:  # Windows removes no file that is open
            is_left = True
        held.release()
        if is_left:
            with suppress(PermissionError):
                lock.unlink(missing_ok=True)
