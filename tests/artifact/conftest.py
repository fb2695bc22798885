"""A bundle that tests change, and how they change its manifest."""

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, MakeOnce, SavedRun, home_of
from playwright.sync_api import Browser, Page, sync_playwright

from headstart.artifact.manifest import DIGEST, MANIFEST, digest_of_manifest
from headstart.artifact.web_browser import PAGE
from headstart.artifact.web_runtime import PACKAGE, REGISTRY_VARIABLE, VERSION, web_runtime
from headstart.errors import DownloadError
from headstart.storage import home

Change = Callable[[dict[str, Any]], object]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")


@pytest.fixture
def model(saved_run: SavedRun, tmp_path: Path) -> Path:
    """A copy of a bundle, to be changed."""
    return Path(shutil.copytree(saved_run.model, tmp_path / "model"))


@pytest.fixture(scope="session")
def run_of_views(made_once: MakeOnce, saved_run: SavedRun, tiny_weights: Path, compiled_forms: Path) -> Path:
    """A probe that sees every view that there is of each image, with its mirror image: six passes through the network."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    settings = TrainSettings.of(
        strategy="probe", backbone=TINY, weights=tiny_weights, image_size=64, view="crop+whole+pad+mirrored", device="cpu"
    )

    def make(folder: Path) -> None:
        with home_of(folder / "home", compiled_forms):
            train(saved_run.data, settings, output=folder / "run")

    return made_once("views", make) / "run"


def edit(model: Path, change: Change) -> None:
    """Changes the manifest as if it had been written so: its own digest is right."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    change(values)
    values[DIGEST] = digest_of_manifest(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def edit_by_hand(model: Path, change: Change) -> None:
    """Changes the manifest as a person with an editor would: its own digest stays."""
    values = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    change(values)
    (model / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="session")
def npm_package(made_once: MakeOnce, compiled_forms: Path) -> Path:
    """onnxruntime-web's npm package, kept by headstart before or from the registry that npm is set to."""
    kept = home() / "downloads" / f"{PACKAGE}-{VERSION}.tgz"  # a session's fixtures see the user's own home

    def make(folder: Path) -> None:
        if kept.is_file():
            (folder / "home" / "downloads").mkdir(parents=True)
            shutil.copyfile(kept, folder / "home" / "downloads" / kept.name)
        with home_of(folder / "home", compiled_forms), pytest.MonkeyPatch.context() as patch:
            if shutil.which("npm") and REGISTRY_VARIABLE not in os.environ:
                said = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=False)
                patch.setenv(REGISTRY_VARIABLE, said.stdout.strip())
            try:
                web_runtime()
            except DownloadError as error:
                (folder / "reason").write_text(error.message)

    folder = made_once("npm package", make)
    if (folder / "reason").exists():
        pytest.skip(f"onnxruntime-web is not at hand: {(folder / 'reason').read_text()}")
    return folder / "home" / "downloads" / kept.name


@pytest.fixture
def without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser is found."""
    monkeypatch.setattr("headstart.artifact.web_export.find_browser", lambda: None)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder that Python's own server shows, until the block ends."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Headless Chromium with a camera that sees a test picture."""
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield opened
        opened.close()


@pytest.fixture
def modules(chromium: Browser) -> Iterator[Page]:
    """A window to call single modules of the page in."""
    with served(PAGE) as url:
        page = chromium.new_page()
        page.goto(f"{url}icon.svg")
        yield page
        page.close()
