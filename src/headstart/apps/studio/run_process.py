"""A training run in a process of its own, `python -m headstart.apps.studio.run_process`: it reports in lines of JSON.

It reads one line of JSON from stdin, {"data": ..., "output": ..., "settings": {...}}, and ends when stdin does: also when the
studio was killed.
"""

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from headstart.errors import HeadstartError
from headstart.settings import TrainSettings

EVERY_SECONDS = 0.2  # between two reports on one stage


def main() -> None:
    """Trains, and reports how far it is and what came of it."""
    wanted, reports = json.loads(sys.stdin.readline()), sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no report
    threading.Thread(target=_end_with_studio, daemon=True).start()
    last_stage, last_at = "", 0.0

    def report(**values: Any) -> None:
        print(json.dumps(values), file=reports, flush=True)

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last_stage, last_at
        now = time.monotonic()
        if stage != last_stage or done == total or now - last_at > EVERY_SECONDS:
            last_stage, last_at = stage, now
            report(stage=stage, done=done, total=total)

    try:
        from headstart.runs.training import train

        trained = train(wanted["data"], TrainSettings.of(**wanted["settings"]), output=wanted["output"], progress=progress)
    except HeadstartError as error:
        report(error=error.message, hint=error.hint)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    report(metrics=trained.metrics, notes=list(trained.notes), interrupted=trained.interrupted)


def _end_with_studio() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
