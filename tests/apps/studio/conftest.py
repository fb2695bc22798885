"""A studio in a process of its own, as users have it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import COLOURS, PATIENCE_SECONDS, TINY, draw_shape, lend_compiled_forms

from headstart.data.label_log import LabelLog


@dataclass(frozen=True)
class Studio:
    """A studio that answers."""

    process: "subprocess.Popen[str]"
    url: str
    client: httpx.Client
    data: Path
    project: Path

    def get(self, path: str, **options: Any) -> Any:
        """JSON of a GET."""
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, json: object = None, *, who: str = "me", key: str = "") -> httpx.Response:
        """The answer to a POST of one window."""
        headers = {"X-Window": who} | ({"X-Decision": key} if key else {})
        return self.client.post(path, json={} if json is None else json, headers=headers)

    def decide(self, rows: list[int], why: str, *, who: str = "me", key: str = "", **wish: Any) -> httpx.Response:
        """The answer to a decision by someone who has seen all others, unless `expected` says what."""
        expected = wish.pop("expected", None)
        seen = self.last if expected is None else expected
        return self.post("/api/decisions", {"rows": rows, "why": why, "expected": seen} | wish, who=who, key=key)

    @property
    def last(self) -> int:
        """The number of the last decision."""
        return int(self.get("/api/project")["last"])

    def column(self, name: str) -> np.ndarray:
        """A column."""
        answer = self.client.get(f"/api/columns/{name}")
        assert answer.status_code == 200, answer.text
        return np.frombuffer(answer.content, np.dtype(answer.headers["X-Dtype"]).newbyteorder("<"))

    def order(self, sort: str = "order", *, descending: bool = False, **conditions: Any) -> list[int]:
        """The rows of an order."""
        answer = self.client.post("/api/orders", json={"filter": conditions, "sort": sort, "descending": descending})
        assert answer.status_code == 200, answer.text
        return [int(row) for row in np.frombuffer(answer.content, "<u4")]

    def row(self, row: int) -> Any:
        """What is known of a row."""
        return self.post("/api/rows", {"rows": [row]}).json()[0]

    def queue(self, name: str, n: int = 20) -> list[Any]:
        """The first items of a queue."""
        return list(self.get(f"/api/queues/{name}", params={"n": n}))

    def await_model(self, after: int = -1) -> Any:
        """What is said of the model, as soon as it is fitted to all labels and newer than version `after`."""
        return self.until(
            lambda: (found := self.get("/api/model"))["version"] > after and found["accuracy"] is not None and found
        )

    def until(self, found: Callable[[], Any]) -> Any:
        """What is found, as soon as it is something."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (value := found()):
            assert self.process.poll() is None, "the studio has ended"
            assert time.monotonic() < end, "it never came about"
            time.sleep(0.02)
        return value

    def log(self) -> LabelLog:
        """The log of the project, read beside the studio."""
        return LabelLog.open(self.project / "labels.sqlite", create=False)

    def end(self) -> tuple[int, str]:
        """Ends it as a service is ended: (exit code, stderr)."""
        self.process.terminate()
        _, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, err


@contextmanager
def studio_of(
    data: Path,
    project: Path,
    *,
    home: Path,
    weights: Path,
    token: str = "",
    scanned: bool = True,
    options: Sequence[str] = (),
) -> Iterator[Studio]:
    """`headstart studio` at a free port, until the block ends; `scanned`: begun when all images are read."""
    environment = os.environ | {"HEADSTART_HOME": str(home), "HEADSTART_TOKEN": token}
    command = [sys.executable, "-m", "headstart", "studio", data, "--project", project, "--no-browser", "--port", "0"]
    command += ["--backbone", TINY, "--weights", weights, *options]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"at (http://\S+?)\s", line)
            assert found, line + process.stderr.read()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            with httpx.Client(base_url=found[1], timeout=PATIENCE_SECONDS, trust_env=False, headers=headers) as client:
                studio = Studio(process, found[1], client, data, project)
                if scanned:
                    studio.until(lambda: not studio.get("/api/project")["scanning"])
                yield studio
        finally:
            code = process.poll()
            if code is None:
                process.terminate()
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
            sys.stderr.write(err if code is None else f"the studio ended with {code}: {err}")  # shown where a test fails


def draw(folder: Path, counts: dict[str, int], *, seed: int = 0, flipped: int = 0, flat: bool = False) -> Path:
    """Draws a folder of classes, the first `flipped` of each with the label of the next; `flat`: all in one folder."""
    rng, names = np.random.default_rng(seed), list(counts)
    for place, (label, count) in enumerate(counts.items()):
        for i in range(count):
            given = names[(place + 1) % len(names)] if i < flipped else label
            into = folder if flat else folder / given
            into.mkdir(parents=True, exist_ok=True)
            draw_shape(label, rng).save(into / f"{label}-{i}.png")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, compiled_forms: Path) -> Path:
    """A home for the studios of a module."""
    home = tmp_path_factory.mktemp("studio home")
    lend_compiled_forms(home, compiled_forms)
    return home


@pytest.fixture
def open_studio(home: Path, tmp_path: Path, tiny_weights: Path) -> Iterator[Callable[..., Studio]]:
    """Starts studios that end with the test: open_studio(data)."""
    with ExitStack() as stack:

        def start(data: Path, project: Path | None = None, **options: Any) -> Studio:
            folder = project or tmp_path / "project"
            return stack.enter_context(studio_of(data, folder, home=home, weights=tiny_weights, **options))

        yield start


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """One studio on 36 drawn shapes for the tests of a module that leave it as it is."""
    root = tmp_path_factory.mktemp("studio")
    data = draw(root / "shapes", dict.fromkeys(COLOURS, 12), flipped=1)
    with studio_of(data, root / "project", home=home, weights=tiny_weights) as started:
        started.await_model()
        yield started
