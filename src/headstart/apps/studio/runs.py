"""The training runs that a studio starts, each in a process of its own."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headstart.apps.http.limits import Problem
from headstart.record.places import partial_of

RunState = Literal["running", "done", "failed", "cancelled"]
REPORT, METRICS = "report.html", "metrics.json"
PARTIAL = ".partial"  # ends the name of a run's folder until it is complete
NUMBER = re.compile("[0-9]{1,9}")
END_SECONDS = 20.0  # that a run has to end after it was cancelled


@dataclass
class StudioRun:
    """A run, as far as it is."""

    name: str
    strategy: str
    state: RunState = "running"
    progress: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    error: str = ""
    hint: str = ""
    process: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        found = (self.metrics or {}).get("evaluation") or {}
        images = (self.metrics or {}).get("images") or {}
        return {
            "id": self.name,
            "name": self.name,
            "state": self.state,
            "strategy": (self.metrics or {}).get("strategy", self.strategy),
            "progress": self.progress if self.state == "running" else None,
            "n_labelled": sum(images.get(split, 0) for split in ("train", "val", "test")) or None,
            "accuracy": found.get("accuracy"),
            "accuracy_ci95": found.get("accuracy_ci95"),
            "split": found.get("split"),
            "n": found.get("n"),
            "seconds": ((self.metrics or {}).get("seconds") or {}).get("total"),
            "error": self.error,
            "hint": self.hint,
        }


class Runs:
    """The runs in a project's folder: those that were there, and those that are started now, one at a time."""

    def __init__(self, folder: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self.folder, self.on_change = folder, on_change
        self._lock = threading.Lock()
        self._runs: dict[str, StudioRun] = {run.name: run for run in map(_finished, _folders(folder)) if run is not None}
        self._threads: list[threading.Thread] = []

    def all(self) -> list[StudioRun]:
        """Every run, the latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def start(self, data: str, settings: dict[str, Any]) -> StudioRun:
        """Begins a run on the images as they are labelled now. Raises Problem if one is running."""
        with self._lock:
            if any(run.state == "running" for run in self._runs.values()):
                raise Problem(409, "a run is going on", "wait until it has ended, or cancel it")
            strategy = str(settings.get("strategy", "auto"))
            run = StudioRun(f"{strategy}-{1 + self._last_number()}", strategy)
            run.process = subprocess.Popen(
                [sys.executable, "-m", "headstart.apps.studio.run_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in the terminal is the studio's, which ends the run
            )
            assert run.process.stdin is not None
            wanted = {"data": data, "output": str(self.folder / run.name), "settings": settings}
            run.process.stdin.write(json.dumps(wanted) + "\n")
            run.process.stdin.flush()
            self._runs[run.name] = run
            thread = threading.Thread(target=self._follow, args=(run,), name=f"headstart-run-{run.name}", daemon=True)
            self._threads.append(thread)
        thread.start()
        return run

    def cancel(self, name: str) -> StudioRun:
        """Ends a run that goes on. Raises Problem."""
        run = self.named(name)
        if run.state == "running" and run.process is not None:
            run.state = "cancelled"
            run.process.terminate()
        return run

    def named(self, name: str) -> StudioRun:
        """The run with this name. Raises Problem."""
        with self._lock:
            if name not in self._runs:
                raise Problem(404, f"there is no run {name}", "GET /api/runs lists all")
            return self._runs[name]

    def stop(self) -> None:
        """Ends what goes on."""
        for run in self.all():
            if run.state == "running":
                self.cancel(run.name)
        for thread in self._threads:
            thread.join(END_SECONDS)

    def _last_number(self) -> int:
        """The highest number in the name of a run or of what is left of one."""
        left = [path.name.removesuffix(PARTIAL) for path in self.folder.iterdir()] if self.folder.is_dir() else []
        numbers = (name.rpartition("-")[2] for name in (*self._runs, *left))
        return max((int(number) for number in numbers if NUMBER.fullmatch(number)), default=0)

    def _follow(self, run: StudioRun) -> None:
        process = run.process
        assert process is not None and process.stdout is not None and process.stdin is not None
        for line in process.stdout:
            _take(run, line)
            self.on_change()
        code = process.wait()
        process.stdin.close()
        process.stdout.close()
        folder = self.folder / run.name
        finished = _finished(folder) if (folder / METRICS).is_file() else None
        if finished is not None:  # also if it was cancelled too late
            run.metrics, run.state = finished.metrics, "done"
        elif run.state == "cancelled":
            shutil.rmtree(partial_of(folder), ignore_errors=True)
        else:
            run.state = "failed"
            if not run.error:
                run.error = f"the process of the run ended with {code}"
                run.hint = "start headstart train in a terminal to see why"
        self.on_change()


def _take(run: StudioRun, line: str) -> None:
    """Takes a report of the run's process into account."""
    told = json.loads(line)
    if "stage" in told:
        run.progress = told
    elif "metrics" in told:
        run.metrics = told["metrics"]
    else:
        run.error, run.hint = told.get("error", ""), told.get("hint", "")


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if (path / METRICS).is_file() and not path.name.endswith(PARTIAL))
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _finished(folder: Path) -> StudioRun | None:
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not a run of this project
        return None
    return StudioRun(folder.name, str(metrics.get("strategy", "")), "done", metrics=metrics)
