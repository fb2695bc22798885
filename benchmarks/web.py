"""Compares the page of `export --format web` with its model on image files, and times it as a person meets it.

    headstart export RUN --format web --output PAGE
    python benchmarks/web.py RUN PAGE FOLDER [--most 400] [--rounds 5] [--beside 2]

Takes about a minute for 400 images; run nothing else. Opens the page in headless Chromium. First all images in FOLDER are
answered by the page and by Python; then the page is opened anew, is given an image as soon as it takes one, 19 more, and is
opened again after its server has ended. That is done in several rounds, each in a new browser; times are medians over these,
the slowest image is that of all rounds. `--beside` processes keep cores busy meanwhile, as other programs of a user would.

Expect, with EfficientNet-Lite0 on two cores: the same label for all, probabilities within 1e-5 (of transparent images within
1e-2), a first answer 0.5 to 2 s after opening, by what else the machine does, and 50 to 110 ms for an image if that is little.
"""

import argparse
import json
import random
import shutil
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from headstart.artifact.predictor import Predictor
from headstart.artifact.web_browser import find_browser, page_in_browser

TIMED_IMAGES = 20


class Quiet(SimpleHTTPRequestHandler):
    """A static server that says nothing."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def parity(model: Path, page: Path, files: list[Path]) -> dict[str, Any]:
    """How the page's answers compare with the model's."""
    predictor, browser = Predictor.load(model), find_browser()
    assert browser is not None, "there is no Chromium here"
    same, differences, distances, refused = [], [], [], {}
    with page_in_browser(browser, page) as ask:
        for file in files:
            said, own = ask(file.read_bytes()), next(predictor.predict([str(file)]))
            if "probabilities" not in said or own.probabilities is None:
                refused[str(file)] = [said.get("refused") or said.get("failed"), own.error]
                continue
            found = np.array(said["probabilities"])
            same.append(found.argmax() == own.probabilities.argmax())
            differences.append(float(np.abs(found - own.probabilities).max()))
            distances.append(abs((said["distance"] or 0) - (own.distance or 0)))
    return {
        "images": len(same),
        "same_label": float(np.mean(same)),
        "max_difference": max(differences),
        "max_distance_difference": max(distances),
        "refused": refused,
    }


def times(page: Path, files: list[Path]) -> dict[str, Any]:
    """Seconds to the first answer, milliseconds of each image, and seconds to the first answer without a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(page)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        window = browser.new_page()
        first = first_answer(window, partial(window.goto, f"http://127.0.0.1:{server.server_port}/"), files[0])
        each = [answer_ms(window, file) for file in files[1:TIMED_IMAGES]]
        window.locator("html[data-offline=ready]").wait_for()
        server.shutdown()
        server.server_close()
        offline = first_answer(window, window.reload, files[0])
        browser.close()
    return {"first_answer_seconds": first, "image_ms": median(each), "slowest_ms": max(each), "offline_seconds": offline}


def in_rounds(page: Path, files: list[Path], rounds: int, beside: int) -> dict[str, Any]:
    """The medians of several rounds, with as many processes beside that do nothing but count."""
    busy = [Process(target=count_on, daemon=True) for _ in range(beside)]
    for process in busy:
        process.start()
    try:
        found = [times(page, files) for _ in range(rounds)]
    finally:
        for process in busy:
            process.terminate()
    slowest = {"slowest_ms": max(one["slowest_ms"] for one in found)}
    return {"beside": beside} | {name: median(one[name] for one in found) for name in found[0]} | slowest


def count_on() -> None:
    """Keeps a core busy."""
    while True:
        pass


def first_answer(window: Page, open_page: Any, file: Path) -> float:
    """Seconds from opening the page to the answer for an image that is given as soon as it takes one."""
    began = time.perf_counter()
    open_page()
    window.locator("#choose:enabled").wait_for()
    answer_ms(window, file)
    return time.perf_counter() - began


def answer_ms(window: Page, file: Path) -> int:
    """What the page says that an image has taken."""
    window.set_input_files("#files", str(file))
    status = window.locator("#status", has_text=f"{file.name}:")
    status.wait_for()
    return int(status.inner_text().rpartition("(")[2].split()[0])


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, default=0)
    given = parser.parse_args()
    files = sorted(path for path in given.folder.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)
    files = files[: given.most]
    print(
        json.dumps(parity(given.model, given.page, files) | in_rounds(given.page, files, given.rounds, given.beside), indent=1)
    )


if __name__ == "__main__":
    main()
