"""One window decides on many rows at once while another decides on single ones: how long it waits."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from studio_benches import fill, made_candidates
from studio_speeds import OnlyRows, served

from headstart.apps.http.limits import Limits
from headstart.apps.studio.runs import Runs
from headstart.apps.studio.session import Session
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.project import open_project
from headstart.model.pretrained import Backbone
from headstart.settings import TrainSettings

PAUSE_SECONDS = 0.02  # between two keys of the other window
OTHERS = 1_000  # rows that only the other window decides on


def bulk(network: Backbone, n: int, folder: Path) -> dict[str, float]:
    """Seconds of a decision on `n` made-up rows, of its undo and its redo, and of keys beside them. All run in this process."""
    candidates = made_candidates(["a"] * n + ["b"] * OTHERS)
    with open_project(folder) as project:
        catalogue = Catalogue.of(candidates)
        bench = OnlyRows(catalogue, [candidate.path for candidate in candidates], project.log, network, folder)
        fill(catalogue, np.broadcast_to(np.zeros(1, np.float16), (len(candidates), 1)))
        for row in range(len(candidates)):
            bench.book.place(row)
        session = Session("made", "made", [], project, bench, TrainSettings.of(effort="quick"), Runs(project.runs), Limits())
        session.export = dict  # type: ignore[method-assign]  # there are no files
        with served(session) as address, httpx.Client(base_url=address, timeout=60, headers={"X-Window": "ada"}) as client:
            wish = {"order": {"filter": {"label": [0]}}, "n": n, "label": "b", "why": "relabel", "expected": 0}
            found = {}
            for name, path, json in (("relabel", "decisions", wish), ("undo", "undo", {}), ("redo", "redo", {})):
                seconds, worst = _beside(address, n, lambda path=path, json=json: client.post(f"/api/{path}", json=json))
                found |= {name: seconds, f"a key beside {name}, worst": worst}
    return found


def _beside(address: str, n: int, act: Callable[[], httpx.Response]) -> tuple[float, float]:
    """Seconds of what one window does, and the most of a key of another window that also follows the changes."""
    ended, keys = threading.Event(), list[float]()

    def press() -> None:
        with httpx.Client(base_url=address, timeout=60, headers={"X-Window": "bob"}) as client:
            row = 0
            while not ended.wait(PAUSE_SECONDS):
                wish = {"rows": [n + row % OTHERS], "label": "c", "why": "label:next", "expected": 0}
                began = time.perf_counter()
                client.post("/api/decisions", json=wish).raise_for_status()
                keys.append(time.perf_counter() - began)
                row += 1

    def follow() -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            last = client.get("/api/project").json()["last"]
            while not ended.is_set():
                last = client.get(f"/api/changes?since={last}&model=0&n_read={n + OTHERS}&map=0").json()["last"]

    threads = [threading.Thread(target=work) for work in (press, follow)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    began = time.perf_counter()
    act().raise_for_status()
    seconds = time.perf_counter() - began
    time.sleep(1.0)  # the other window hears of it
    ended.set()
    for thread in threads:
        thread.join()
    return seconds, max(keys)
