"""A page of an export in a Chromium without a window, which answers images so that its answers can be compared."""

import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headstart.errors import HeadstartError

PAGE = Path(__file__).with_name("web")
PROOF_PAGE = ("prove.html", "prove.js")  # these belong to the proof, not to an export
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
# It asks nobody but the server of this process, and leaves nothing behind.
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--no-pings",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",  # keeps it running until it is ended
)
PATIENCE_SECONDS = 120.0  # for one answer, the first of which includes starting and loading
MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm"}

Ask = Callable[[bytes], dict[str, Any]]


class BrowserError(HeadstartError):
    """The browser cannot be used; nothing is known about the page."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where images wait for the page and answers for this process."""

    folder: Path
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16))  # other pages on this machine must not answer
    images: "queue.Queue[bytes | None]" = field(default_factory=queue.Queue)  # None: there are no more
    answers: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that was ended in the middle of a request is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def find_browser() -> Path | None:
    """A Chromium of this machine, or None."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Path(found) if found else next((Path(place) for place in PLACES if Path(place).is_file()), None)


@contextmanager
def page_in_browser(browser: Path, folder: Path) -> Iterator[Ask]:
    """A function that has the page in `folder` answer the bytes of an image file, while the block runs.

    The answer holds `probabilities` and `distance`, or `refused` or `failed` with the reason. Raises BrowserError.
    """
    desk = _Desk(folder)
    with _Server(("127.0.0.1", 0), _handler(desk)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            with _started(browser, f"http://127.0.0.1:{server.server_port}/{desk.secret}/prove.html") as process:
                yield lambda data: _answer(desk, process, data)
        finally:
            desk.images.put(None)
            server.shutdown()


@contextmanager
def _started(browser: Path, url: str) -> Iterator["subprocess.Popen[bytes]"]:
    flags = [*FLAGS, "--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else list(FLAGS)  # root cannot have one
    with TemporaryDirectory(prefix="headstart-browser-", ignore_cleanup_errors=True) as profile:
        try:
            process = subprocess.Popen(
                [str(browser), *flags, f"--user-data-dir={profile}", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            raise BrowserError(f"{browser.name} cannot be started: {error.strerror or error}") from error
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the browser with the processes that it has started."""
    if sys.platform == "win32":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # all have ended
            return
        finally:
            process.wait()
    process.wait()


def _answer(desk: _Desk, process: "subprocess.Popen[bytes]", data: bytes) -> dict[str, Any]:
    desk.images.put(data)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return desk.answers.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None:
                raise BrowserError(f"the browser ended by itself, with code {process.returncode}") from None
            if time.monotonic() > end:
                raise BrowserError(f"the browser gave no answer within {PATIENCE_SECONDS:.0f} s") from None


def _handler(desk: _Desk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self._name()
            if name == "next":
                data = desk.images.get()
                if data is not None:
                    self._send(200, data, "application/octet-stream")
                return
            file = (PAGE if name in PROOF_PAGE else desk.folder) / (name or "")
            if not name or Path(name).name != name or not file.is_file():
                self._send(404, b"", "text/plain")
                return
            self._send(200, file.read_bytes(), MEDIA_TYPES.get(file.suffix, "application/octet-stream"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self._name() == "answer":
                desk.answers.put(json.loads(body))
            self._send(204, b"", "text/plain")

        def _name(self) -> str | None:
            """The file that is asked for; None without the secret."""
            before, _, name = self.path.removeprefix("/").partition("/")
            return name if secrets.compare_digest(before.encode(), desk.secret.encode()) else None

        def _send(self, status: int, content: bytes, media_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
