"""kill -9 at any moment: nothing is lost that was acknowledged, and nothing is wrong."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from conftest import COLOURS

from apps.studio.conftest import Studio, draw

PAUSE_SECONDS = 1 / 20  # between two decisions of a window
ROUNDS = 2


class Window(threading.Thread):
    """Labels its rows over and over; sends what was not acknowledged again, with the same key, until it is."""

    def __init__(self, who: str, rows: list[int], seed: int) -> None:
        super().__init__()
        self.who, self.rows, self.random = who, rows, random.Random(seed)
        self.studio: Studio | None = None  # None: it has been killed
        self.wanted: list[tuple[int, str]] = []  # all decisions, in order
        self.acknowledged: dict[int, int] = {}  # which of them -> its number in the log
        self.ended = threading.Event()
        self.failed = ""

    def run(self) -> None:
        while not self.ended.is_set():
            row, label = self.random.choice(self.rows), self.random.choice(sorted(COLOURS))
            self.wanted.append((row, label))
            while len(self.wanted) - 1 not in self.acknowledged and not self.failed:
                self._send(len(self.wanted) - 1)
            time.sleep(PAUSE_SECONDS)

    def _send(self, number: int) -> None:
        row, label = self.wanted[number]
        try:
            if self.studio is None:
                time.sleep(PAUSE_SECONDS)
                return
            answer = self.studio.decide(
                [row], "label:next", who=self.who, key=f"{self.who}-decision-{number}", label=label, expected=0
            )
        except httpx.TransportError:
            return
        if answer.status_code == 200:
            self.acknowledged[number] = answer.json()["decision"]
        else:
            self.failed = answer.text


def test_kill_9(open_studio: Callable[..., Studio], tmp_path: Path) -> None:
    """Two windows decide 20 times a second while the studio is killed: each decision is in the log once, in order."""
    data = draw(tmp_path / "shapes", dict.fromkeys(COLOURS, 4), flat=True)
    windows = [Window("ada", list(range(6)), 0), Window("bob", list(range(6, 12)), 1)]
    when = random.Random(2)
    for kill in range(ROUNDS + 1):
        studio = open_studio(data)
        for window in windows:
            window.studio = studio
            if not window.is_alive():
                window.start()
        n = [len(window.acknowledged) for window in windows]
        studio.until(lambda n=n: all(len(w.acknowledged) >= old + 5 or w.failed for w, old in zip(windows, n, strict=True)))
        if kill == ROUNDS:
            break
        time.sleep(when.random())
        for window in windows:
            window.studio = None
        studio.process.kill()
        studio.process.wait()
    for window in windows:
        window.ended.set()
        window.join()
        assert not window.failed
    labels, classes = studio.column("label"), studio.get("/api/project")["classes"]
    with studio.log() as log:
        log.digest()  # every entry is what was written
        entries = list(log.since(0))
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    paths = [one["path"] for one in studio.post("/api/rows", {"rows": list(range(12))}).json()]
    for window in windows:
        written = [(paths.index(e.changes[0].image.path), e.changes[0].new.label) for e in entries if e.who == window.who]
        assert written == window.wanted
        numbers = [window.acknowledged[i] for i in range(len(window.wanted))]
        assert numbers == [entry.number for entry in entries if entry.who == window.who]
        for row, label in dict(window.wanted).items():
            assert classes[labels[row]] == label
