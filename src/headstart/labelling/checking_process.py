"""The process of labelling/checking.py: reads a project from stdin, and writes what the checks find to stdout.

It ends when stdin is closed: also when the studio was killed.
"""

import os
import pickle
import sys
import threading

from headstart.labelling.checking import Sent
from headstart.labelling.findings_by_row import find_by_row
from headstart.threads import one_blas_thread

NICENESS = 10  # the page comes first


def main() -> None:
    """Answers once."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    question, answer = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    sent: Sent = pickle.load(question)
    threading.Thread(target=_end_with_studio, daemon=True).start()
    with one_blas_thread():
        found = find_by_row(sent.catalogue(), sent.n_last)
    pickle.dump(found, answer, pickle.HIGHEST_PROTOCOL)
    answer.flush()
    os._exit(0)  # at once: Python cannot end properly while a thread waits for stdin


def _end_with_studio() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
