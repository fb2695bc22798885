"""A process that another started to work for it: it ends when that one does, whatever has happened to it."""

import multiprocessing
import os
import signal
import threading


def live_with_parent() -> None:
    """Leaves Ctrl-C to the process that started this one, and ends this one as soon as that has ended, also if it was killed.

    Called in a process that `multiprocessing` started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of them; the first ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once: the main thread computes, or waits for what never comes
