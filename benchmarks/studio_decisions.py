"""Two windows decide while the studio is killed: do its log, its tables and the windows hold what was decided, and no more?"""

import csv
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from studio_account import Account
from studio_window import Window

from headstart.data.decided import State
from headstart.data.label_log import LabelLog

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.01
MOST_TOLD = 20
FIRST, LAST = 0.1, 0.9  # the share of the decisions before the first kill, and before the last at the latest


@dataclass
class Started:
    """A studio in a process of its own."""

    address: str
    process: "subprocess.Popen[str]"

    def ask(self, path: str) -> Any:
        """An answer, as JSON."""
        return httpx.get(self.address + path, timeout=60).raise_for_status().json()

    def column(self, name: str) -> list[int]:
        """A column of whole numbers."""
        answer = httpx.get(f"{self.address}/api/columns/{name}", timeout=60).raise_for_status()
        return [int(value) for value in np.frombuffer(answer.content, np.dtype(answer.headers["X-Dtype"]).newbyteorder("<"))]

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each row."""
        n, found = self.ask("/api/project")["n_images"], []
        for begin in range(0, n, 200):
            rows = list(range(begin, min(n, begin + 200)))
            found += httpx.post(f"{self.address}/api/rows", json={"rows": rows}, timeout=60).raise_for_status().json()
        return found

    def wait_until_read(self) -> None:
        """Returns when all images are read."""
        _until(lambda: not self.ask("/api/project")["scanning"])


def of_data(data: Path, n: int, rate: float, kills: int, seed: int = 0) -> dict[str, float]:
    """What became of `n` decisions on the images of DATA, `rate` a second."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ended:
        project = Path(folder) / "project"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]  # the same after each start, as a page wants it

        def start() -> Started:
            command = [sys.executable, "-m", "headstart", "studio", str(data), "--project", str(project)]
            command += ["--port", str(port), "--no-browser"]
            environment = os.environ | {"COLUMNS": "400"}
            process = ended.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
            ended.callback(process.kill)
            assert process.stdout is not None
            return Started(next(word for word in process.stdout.readline().split() if word.startswith("http://")), process)

        found = decide(start, project, n, rate, kills, seed)
    for sentence in found.problems[:MOST_TOLD]:
        print(sentence, file=sys.stderr)
    return found.figures


@dataclass(frozen=True)
class Outcome:
    """Figures, and a sentence for each thing that is lost or wrong."""

    figures: dict[str, float]
    problems: list[str]


def decide(start: Callable[[], Started], project: Path, n: int, rate: float, kills: int, seed: int = 0) -> Outcome:
    """Starts a studio, kills it at random moments and starts it again, while two windows decide; then compares all accounts."""
    chance, studio = random.Random(seed), start()
    studio.wait_until_read()
    windows = [
        Window(who, n // 2, rate / 2, seed=seed + place, forgetful=who == "bob") for place, who in enumerate(("ada", "bob"))
    ]
    began, processor, patience = time.monotonic(), 0.0, PATIENCE_SECONDS + (2 * n / rate if rate else n)
    for window in windows:
        window.start(studio.address)
    try:
        for share in sorted(chance.uniform(FIRST, LAST) for _ in range(kills)):
            _until(lambda share=share: sum(w.n_answered for w in windows) >= share * n or _are_done(windows), patience)
            time.sleep(chance.random() / 10)
            processor += sum(psutil.Process(studio.process.pid).cpu_times()[:2])
            studio.process.kill()
            studio.process.wait()
            studio = start()
            for window in windows:
                window.address = studio.address
        _until(lambda: _are_done(windows), patience)
        seconds = time.monotonic() - began
        studio.wait_until_read()
        last = studio.ask("/api/project")["last"]
        _until(lambda: all(window.last == last or window.problem for window in windows))
    finally:
        for window in windows:
            window.close()
    processor += sum(psutil.Process(studio.process.pid).cpu_times()[:2])
    account, problems = compare(studio, project, windows)
    answered = [request.seconds for window in windows for request in window.requests if request.answer]
    figures = {
        "wanted": n,
        "a second": n / seconds,
        "acknowledged": len(answered),
        "told as conflicts": account.n_conflicts,
        "not answered": account.n_unknown,
        "not answered, in the log": account.n_written,
        "lost": len(account.lost),
        "wrong": len(problems) - len(account.lost),
        "answer, median": statistics.median(answered),
        "answer, p99": float(np.quantile(answered, 0.99)),
        "answer, worst": max(answered),
        "processor of the server": processor,
        "entries": last,
    }
    return Outcome(figures, problems)


def compare(studio: Started, project: Path, windows: Sequence[Window]) -> tuple[Account, list[str]]:
    """Ends the studio and compares its log, its rows, its tables and its windows: the account, and what is lost or wrong."""
    classes, rows = studio.ask("/api/project")["classes"], studio.rows()
    columns = {name: studio.column(name) for name in ("given", "label", "excluded", "decided")}
    studio.process.terminate()
    code = studio.process.wait(PATIENCE_SECONDS)
    with LabelLog.open(project / "labels.sqlite", create=False) as log:
        log.digest()  # every entry is what was written
        entries = list(log.since(0))
        states = {key.path: state for key, state in log.states().items()}
    named = [None if number < 0 else classes[number] for number in columns["given"]]
    account = Account([State(label) for label in named], {row["path"]: row["row"] for row in rows})
    account.check(entries, windows)
    problems = [window.problem for window in windows if window.problem]
    if code != 0:
        problems.append(f"the studio ended with {code}")
    for row, (state, in_force) in enumerate(zip(account.states, account.in_force, strict=True)):
        number = -1 if state.label is None else classes.index(state.label)
        wanted = (number, int(state.excluded), int(bool(in_force)))
        of_columns = (columns["label"][row], columns["excluded"][row], columns["decided"][row])
        of_rows = (rows[row]["label"], int(rows[row]["excluded"]), int(rows[row]["decided"]))
        if not of_columns == of_rows == wanted:
            problems.append(f"row {row} is {of_columns} in the columns and {of_rows} in its row, not {wanted}")
        if states.get(rows[row]["path"], account.given[row]) != state:
            problems.append(f"row {row} is {states[rows[row]['path']]} in the log, not {state}")
        for window in windows:
            if window.seen.get(row, (columns["given"][row], False)) != (number, state.excluded):
                problems.append(f"row {row} is {window.seen.get(row)} in the window of {window.who}, not {wanted}")
    return account, [*account.lost, *account.wrong, *problems, *_of_tables(project, account, [row["path"] for row in rows])]


def _of_tables(project: Path, account: Account, paths: list[str]) -> list[str]:
    """What is wrong in labels.csv and exclude.csv."""
    states = dict(zip(paths, account.states, strict=True))
    labels = {path: state.label for path, state in states.items() if state.label is not None and not state.excluded}
    excluded = {path for path, state in states.items() if state.excluded}
    found = []
    for name, wanted in (("labels.csv", labels), ("exclude.csv", dict.fromkeys(excluded))):
        with (project / name).open(encoding="utf-8", newline="") as file:
            table = {row["path"]: row.get("label") for row in csv.DictReader(file)}
        shown = {next((path for path in wanted if cell.endswith(f"/{path}")), cell): value for cell, value in table.items()}
        if shown != wanted or len(table) != len(wanted):
            differing = [path for path in shown.keys() | wanted.keys() if shown.get(path) != wanted.get(path)]
            found.append(f"{name} differs in {len(differing)} images: {sorted(differing)[:3]}")
    return found


def _are_done(windows: Sequence[Window]) -> bool:
    return all(window.is_done for window in windows)


def _until(found: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            raise TimeoutError("it never came about")
        time.sleep(LOOK_SECONDS)
