"""A window of the studio that decides by a script: like the page, it follows the changes and sends its decisions in order."""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import numpy as np

from headstart.labelling.catalogue import READ

PAUSE_SECONDS = 0.05  # until an answer that did not come is asked for again
BREATH_SECONDS = 0.1  # between two requests for changes, as the page has it
HOT_ROWS, HOT_SHARE = 8, 0.2  # rows that all windows decide on, and how often
STALE_SHARE, STALE = 0.03, 10  # how often a window decides by what was so long ago, and how many decisions ago
MOST_ROWS = 6  # of a decision on several
NEW_CLASS = "neither"
PASSING = (429, 503)  # the server is busy, or cannot write: the same is sent again
# What a window does, and how often of 100 times.
ACTS = {"label": 50, "keep": 10, "exclude": 8, "take in": 6, "unlabel": 4, "several": 6, "undo": 10, "redo": 6}

Kind = Literal["decisions", "undo", "redo"]


@dataclass(slots=True)
class Request:
    """A decision, an undo or a redo, and what came of it."""

    kind: Kind
    wish: dict[str, Any]
    key: str
    answer: dict[str, Any] | None = None  # None: it never came
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0  # from sending it first to its answer

    @property
    def number(self) -> int | None:
        """Of its entry in the log, if one was acknowledged."""
        return self.answer.get("decision") if self.answer else None


class Window:
    """Decides `n` times, `rate` times a second (0: as fast as it is answered), in a thread; another follows the changes.

    What was not answered is sent again with its key, as the page does. A `forgetful` window sends nothing again that may have
    arrived, like a page that was closed: of such a decision nobody knows what came of it.
    """

    def __init__(self, who: str, n: int, rate: float, *, seed: int, forgetful: bool = False) -> None:
        self.who, self.n, self.rate, self.forgetful = who, n, rate, forgetful
        self.address = ""  # of the server, while there is one
        self.requests: list[Request] = []
        self.last = 0  # the last entry of the log that it has heard of
        self.seen: dict[int, tuple[int, bool]] = {}  # row -> (label, whether it is excluded), as far as it has heard
        self.problem = ""
        self._random = random.Random(seed)
        self._rows, self._classes = list[int](), list[str]()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._decide, self._follow)]

    def start(self, address: str) -> None:
        """Opens the window."""
        self.address = address
        project = httpx.get(f"{address}/api/project", timeout=60).raise_for_status().json()
        self._classes = [*project["classes"], NEW_CLASS]
        states = httpx.get(f"{address}/api/columns/state", timeout=60).raise_for_status().content
        self._rows = np.flatnonzero(np.frombuffer(states, np.uint8) == READ).tolist()
        for thread in self._threads:
            thread.start()

    @property
    def n_answered(self) -> int:
        """How many of its requests are done with."""
        return len(self.requests) - 1 if self._threads[0].is_alive() else len(self.requests)

    @property
    def is_done(self) -> bool:
        """Whether all has been decided, or nothing more will be."""
        return not self._threads[0].is_alive()

    def close(self) -> None:
        """Ends the window."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Any) -> None:
        try:
            with httpx.Client(timeout=60, trust_env=False, headers={"X-Window": self.who}) as client:
                work(client)
        except Exception as error:
            self.problem = f"{self.who}: {error!r}"
            self._ended.set()

    def _decide(self, client: httpx.Client) -> None:
        began = time.monotonic()
        for number in range(self.n):
            if self.rate:
                time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            if self._ended.is_set():
                return
            kind, wish = self._next()
            self.requests.append(Request(kind, wish, f"{self.who}-request-{number}"))
            self._send(client, self.requests[-1])

    def _next(self) -> tuple[Kind, dict[str, Any]]:
        """What it does next."""
        act = self._random.choices(list(ACTS), list(ACTS.values()))[0]
        if act == "undo" or act == "redo":
            return act, {}
        hot = self._random.random() < HOT_SHARE
        n = self._random.randint(2, MOST_ROWS) if act == "several" else 1
        rows = self._random.sample(self._rows[:HOT_ROWS] if hot else self._rows, n)
        expected = max(0, self.last - STALE) if self._random.random() < STALE_SHARE else self.last
        label = self._random.choice(self._classes)
        return "decisions", {"rows": rows, "expected": expected} | {
            "label": {"why": "relabel:label_error", "label": label, "excluded": False},
            "keep": {"why": "keep:label_error"},
            "exclude": {"why": "exclude", "excluded": True},
            "take in": {"why": "relabel", "excluded": False},
            "unlabel": {"why": "label", "label": None},
            "several": {"why": "relabel", "label": label},
        }[act]

    def _send(self, client: httpx.Client, request: Request) -> None:
        began = time.monotonic()
        while not self._ended.is_set():
            try:
                url, headers = f"{self.address}/api/{request.kind}", {"X-Decision": request.key}
                answer = client.post(url, json=request.wish, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                time.sleep(PAUSE_SECONDS)
                continue
            except httpx.TransportError:
                if self.forgetful:
                    return
                time.sleep(PAUSE_SECONDS)
                continue
            if answer.status_code in PASSING:
                time.sleep(PAUSE_SECONDS)
                continue
            found = answer.json()
            if answer.status_code == 409 and found.get("conflicts"):
                request.conflicts = found["conflicts"]
            elif answer.status_code != 200:
                raise ValueError(f"{request.kind} {request.wish}: {answer.status_code} {answer.text}")
            request.answer, request.seconds = found, time.monotonic() - began
            return

    def _follow(self, client: httpx.Client) -> None:
        model, n_read, places = 0, 0, 0
        while not self._ended.is_set():
            query = f"since={self.last}&model={model}&n_read={n_read}&map={places}"
            try:
                news = client.get(f"{self.address}/api/changes?{query}").raise_for_status().json()
            except httpx.TransportError:
                time.sleep(PAUSE_SECONDS)
                continue
            for change in news["changes"]:
                self.seen[change["row"]] = (change["label"], change["excluded"])
            is_scan, n_read = n_read != news["n_read"], news["n_read"]
            self.last, model, places = news["last"], news["model"], news["map"]
            if is_scan:
                self._read_columns(client)
            self._ended.wait(BREATH_SECONDS)

    def _read_columns(self, client: httpx.Client) -> None:
        """Reads all rows again, as the page does while images are read: what was decided on them before comes with them."""
        try:
            labels, excluded = (client.get(f"{self.address}/api/columns/{name}").content for name in ("label", "excluded"))
        except httpx.TransportError:
            return
        pairs = zip(np.frombuffer(labels, "<i4").tolist(), np.frombuffer(excluded, np.uint8).tolist(), strict=True)
        self.seen = {row: (label, bool(out)) for row, (label, out) in enumerate(pairs)}
