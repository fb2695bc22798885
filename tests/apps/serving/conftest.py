"""A server in a process of its own, as users have it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import PATIENCE_SECONDS, SavedRun, lend_compiled_forms

from apps.conftest import WITHOUT


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: "subprocess.Popen[str]"
    url: str
    client: httpx.Client

    def rss_mb(self) -> float:
        """Memory it holds at the moment."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def predict(self, data: bytes, **headers: str) -> httpx.Response:
        """POST /predict with an image as the body."""
        return self.client.post("/predict", content=data, headers=headers)


@contextmanager
def serving(*arguments: object, home: Path, token: str = "", without: str = "") -> Iterator[Running]:
    """`headstart serve` with these arguments at a free port, until the block ends; `without` are packages it lacks."""
    environment = os.environ | {"HEADSTART_HOME": str(home), "HEADSTART_TOKEN": token}
    python = ["-c", WITHOUT, without] if without else ["-m", "headstart"]
    command = [sys.executable, *python, "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"at (http://\S+)", line)
            assert found, line + process.stderr.read()
            with httpx.Client(base_url=found[1], timeout=PATIENCE_SECONDS, trust_env=False) as client:
                yield Running(process, found[1], client)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def serve(own_home: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers that end with the test: serve(run, "--max-queue", 4)."""
    with ExitStack() as stack:

        def start(*arguments: object, token: str = "", without: str = "") -> Running:
            return stack.enter_context(serving(*arguments, home=own_home, token=token, without=without))

        yield start


@pytest.fixture(scope="module")
def server(saved_run: SavedRun, tmp_path_factory: pytest.TempPathFactory, compiled_forms: Path) -> Iterator[Running]:
    """One server for the tests of a module that leave it as it is."""
    home = tmp_path_factory.mktemp("server home")
    lend_compiled_forms(home, compiled_forms)
    with serving(saved_run.run, home=home) as running:
        yield running


@pytest.fixture
def photo(saved_run: SavedRun) -> bytes:
    """The bytes of an image."""
    return Path(next(iter(saved_run.labels))).read_bytes()
