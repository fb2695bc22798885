"""Forks of the process, as multiprocessing on Linux, gunicorn --preload and torch's DataLoader make them.

A forked process has its parent's memory, but none of its threads. What waits for one of these waits forever: a lock that one
held, a network session that computes in threads of its own. So locks are free at the moment of a fork, and sessions are opened
again after it.
"""

import os
import sys
import threading

_forks = 0
_loaded: frozenset[str] = frozenset()


def forks() -> int:
    """How many forks there were from the process that imported headstart to this one: a number that no two of a line share."""
    return _forks


def was_loaded_at_fork(package: str) -> bool:
    """Whether this process was forked from one that had loaded a package."""
    return package in _loaded


def lock_free_at_forks() -> "threading.RLock":
    """A lock that no thread but the forking one holds while the process forks: the fork waits for it."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def _count() -> None:
    global _forks, _loaded
    _forks, _loaded = _forks + 1, frozenset(sys.modules)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)
