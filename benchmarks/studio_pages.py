"""The studio as somebody meets it: its server in a process of its own, its page in headless Chromium."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from studio_images import remove_thumbnails
from studio_speeds import percentiles

PATIENCE_MS = 120_000
JUMPS, KEYS, KEY_SECONDS = 8, 60, 0.3
FITS = 2  # one as soon as all is read, one with the strength that was chosen
# Seconds are measured in the page, from an action to the frame in which its effect is seen.
UNTIL = """async ([act, seen]) => {
  const start = performance.now();
  await eval(act);
  const isSeen = eval(seen);
  for (;;) {
    await new Promise(requestAnimationFrame);
    if (isSeen()) return (performance.now() - start) / 1000;
    if (performance.now() - start > 60000) throw new Error("never: " + seen);
  }
}"""
LOADED = """() => {
  const grid = document.querySelector(".grid")?.getBoundingClientRect();
  if (!grid) return false;
  const seen = [...document.querySelectorAll(".tile:not([hidden])")].filter((tile) => {
    const place = tile.getBoundingClientRect();
    return place.bottom > grid.top && place.top < grid.bottom;
  });
  return seen.length > 3 && seen.every((tile) => tile.classList.contains("loaded"));
}"""


@dataclass
class Server:
    """A studio that runs."""

    address: str
    process: psutil.Process
    began: float  # time.perf_counter() before the process was started
    peak_mb: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Notes the most memory that it takes, until it ends."""
        while not self._ended.wait(0.05):
            self.peak_mb = max(self.peak_mb, self.process.memory_info().rss / 1e6)

    def ask(self, path: str) -> dict[str, Any]:
        """An answer, as JSON."""
        return httpx.get(self.address + path, timeout=60).raise_for_status().json()

    def wait_for_model(self) -> float:
        """Returns when all images are read and there is a model whose strength is chosen; seconds since the start."""
        while not self.ask("/api/project")["model"] >= FITS:
            if time.perf_counter() - self.began > PATIENCE_MS / 1000:
                raise SystemExit("the studio has no model")
            time.sleep(0.1)
        return time.perf_counter() - self.began


@contextmanager
def studio(data: str, project: Path) -> Iterator[Server]:
    """A server of DATA."""
    command = [sys.executable, "-m", "headstart", "studio", data, "--project", str(project), "--port", "0", "--no-browser"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "400"}) as process:
        assert process.stdout is not None
        address = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        server = Server(address, psutil.Process(process.pid), began)
        watcher = threading.Thread(target=server.watch)
        watcher.start()
        try:
            yield server
        finally:
            server._ended.set()
            watcher.join()
            process.terminate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def new_page(browser: Browser) -> Page:
    """One with an empty cache; scripts may be evaluated in it."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True).new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def many_images(folder: Path) -> dict[str, float]:
    """Seconds of what somebody does with the images of a folder, whose features are in the store; megabytes of the server."""
    remove_thumbnails(Path(os.environ["HEADSTART_HOME"]))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        page = new_page(browser)
        page.goto("about:blank")
        with studio(str(folder), Path(place) / "project") as server:
            found["address printed"] = time.perf_counter() - server.began
            page.goto(server.address)
            page.wait_for_selector(".tile.loaded")
            found["first tiles"] = time.perf_counter() - server.began
            found["read and fitted to"] = server.wait_for_model()
            found["memory then, MB"] = server.process.memory_info().rss / 1e6
            page.goto(f"{server.address}/#/browse?sort=order")
            page.reload()
            page.wait_for_function(f"({LOADED})()")
            found |= _filters(page)
            found |= _jumps(page, "not made")
            again = new_page(browser)  # thumbnails are made, but not in the browser's cache
            again.goto(server.address)
            again.wait_for_function(f"({LOADED})()")
            found |= _jumps(again, "made")
            found |= keys(again, server.address, "label_error")
            found["peak memory, beside the audit, MB"] = server.peak_mb
    return found


def keys_of(data: str, queue: str = "label_error") -> dict[str, float]:
    """Seconds from a key to the next image, where a model is fitted after each."""
    with tempfile.TemporaryDirectory() as place, chromium() as browser, studio(data, Path(place) / "project") as server:
        server.wait_for_model()
        return keys(new_page(browser), server.address, queue)


def _filters(page: Page) -> dict[str, float]:
    found = []
    changed = """(() => { const before = document.querySelector("#tile-0")?.getAttribute("aria-label");
      const sum = document.querySelector("h1.number").textContent;
      return () => document.querySelector("#tile-0") && document.querySelector("h1.number").textContent !== "…"
        && (document.querySelector("#tile-0").getAttribute("aria-label") !== before
            || document.querySelector("h1.number").textContent !== sum); })()"""
    names = page.evaluate("fetch('api/project').then((answer) => answer.json()).then((project) => project.classes)")
    for name in names[1:7]:
        for sort in ("order", "confidence", "brightness"):
            script = f"""async () => {{ const seen = {changed}; const start = performance.now();
              location.hash = "#/browse?label={name}&sort={sort}&down=1";
              for (;;) {{ await new Promise(requestAnimationFrame);
                if (seen()) return (performance.now() - start) / 1000;
                if (performance.now() - start > 60000) throw new Error("never"); }} }}"""
            found.append(page.evaluate(script))
            page.wait_for_timeout(300)
    page.evaluate("location.hash = '#/browse?sort=order'")
    page.wait_for_function(f"({LOADED})()")
    return {f"filter and sort, {key}": value for key, value in percentiles(found).items()}


def _jumps(page: Page, state: str) -> dict[str, float]:
    seconds = []
    for number in range(JUMPS):
        share = (number + 0.5) / JUMPS
        act = f"(() => {{ const grid = document.querySelector('.grid'); grid.scrollTop = {share} * grid.scrollHeight; }})()"
        seconds.append(page.evaluate(UNTIL, [f"{act}; new Promise(requestAnimationFrame)", LOADED]))
        page.wait_for_timeout(200)
    return {f"jump, thumbnails {state}, {key}": value for key, value in percentiles(seconds).items() if key != "p99"}


def keys(page: Page, address: str, queue: str) -> dict[str, float]:
    """Seconds from a key to the next image shown, and until its decision is on disk."""
    page.goto(f"{address}/#/review?queue={queue}")
    page.wait_for_function("document.querySelector('.pictures img')?.complete")
    page.wait_for_timeout(2_000)
    page.evaluate("""() => { window.shown = [];
      performance.clearResourceTimings();
      performance.setResourceTimingBufferSize(5000);
      window.addEventListener("keydown", () => {
        const before = document.querySelector(".pictures img")?.src, start = performance.now();
        const look = () => { const now = document.querySelector(".pictures img");
          const seconds = (performance.now() - start) / 1000;
          if (now && now.src !== before && now.complete && now.naturalWidth) window.shown.push(seconds);
          else if (seconds < 60) requestAnimationFrame(look); };
        requestAnimationFrame(look);
      }, { capture: true }); }""")
    for number in range(KEYS):
        page.keyboard.press("1" if number % 3 else "k")
        page.wait_for_timeout(1_000 * KEY_SECONDS)
    page.wait_for_timeout(2_000)
    shown = page.evaluate("window.shown")
    saved = page.evaluate("""() => performance.getEntriesByType("resource")
      .filter((one) => one.name.endsWith("api/decisions")).map((one) => one.duration / 1000)""")
    return {
        "key to next image, median": statistics.median(shown),
        "key to next image, p95": percentiles(shown)["p95"],
        "key to disk, median": statistics.median(saved),
        "key to disk, worst": max(saved),
        "keys, of which shown": len(shown) / KEYS,
        "keys, of which saved": len(saved) / KEYS,
    }
