"""Contenders of a benchmark: whole processes, timed one after the other. The quick ones run several times, in turn.

A single run of a few seconds says little on a machine that other work shares. So contenders that end within `QUICK_S` run in
`ROUNDS` rounds, not three times in a row: what slows the machine for a minute then slows each of them once. The run with the
median time is reported, with the seconds of all runs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDS = 3
QUICK_S = 20.0


@dataclass(frozen=True)
class Contender:
    """A command that prints a JSON object on its last line."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    renewed: tuple[Path, Path] | None = None  # before each run the first folder is made anew, as a copy of the second


@dataclass(frozen=True)
class Run:
    """One run of a contender."""

    seconds: float  # from process start to its end
    accuracy_best: float
    accuracy_last: float
    peak_rss_mb: float  # of the largest process
    extrapolated: bool = False
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """What is reported of a contender: its run with the median time, and the seconds of all its runs."""

    name: str
    run: Run
    runs_seconds: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        return {"name": self.name, **vars(self.run), "runs_seconds": list(self.runs_seconds)}


def timings(contenders: Sequence[Contender]) -> list[Timing]:
    """Runs all of them once, then those that were quick again, in the same order; in the contenders' order."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(ROUNDS):
        for contender in contenders:
            if number == 0 or runs[contender.name][0].seconds < QUICK_S:
                runs[contender.name].append(run_once(contender))
    return [summary(name, of_one) for name, of_one in runs.items()]


def summary(name: str, runs: Sequence[Run]) -> Timing:
    """The run with the median time, and how long all took."""
    ordered = sorted(runs, key=lambda run: run.seconds)
    return Timing(name, ordered[len(runs) // 2], tuple(run.seconds for run in runs))


def run_once(contender: Contender) -> Run:
    """Renews the contender's folder, which is not timed, and runs it."""
    if contender.renewed is not None:
        folder, pattern = contender.renewed
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pattern, folder)
    seconds, peak, printed = measure(contender.name, contender.command, contender.environment)
    if "evaluation" in printed:  # headstart's
        evaluation = printed["evaluation"]
        more = {"accuracy_ci95": evaluation["accuracy_ci95"], "stages": printed["seconds"], "best_epoch": printed["best_epoch"]}
        return Run(seconds, evaluation["accuracy"], evaluation["accuracy"], peak, more=more)
    accuracies, epochs = printed.pop("accuracies"), printed.get("epochs_of_the_procedure", 0)
    left = max(0, epochs - len(accuracies))
    if left:  # the rest takes as long as the mean epoch
        seconds += left * sum(printed["epoch_seconds"]) / len(accuracies)
    return Run(seconds, max(accuracies), accuracies[-1], peak, extrapolated=left > 0, more=printed)


def measure(name: str, command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float, dict[str, Any]]:
    """Wall seconds, peak memory in MiB, and the JSON that the process printed last. It runs in an empty folder."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True, cwd=folder
        ) as process:
            assert process.stdout is not None
            out = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    print(f"  {seconds:.1f} s", file=sys.stderr, flush=True)
    return seconds, usage.ru_maxrss / 1024, json.loads(out.strip().splitlines()[-1])
