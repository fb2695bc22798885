"""Compares `headstart serve` with a bare loop and a plain FastAPI handler: one run, one machine, the same model and images.

    python benchmarks/serving.py hymenoptera_data          about six minutes on two cores; run nothing else

The bare loop decodes and classifies the same files with the same engine on all cores, without HTTP. The clients run on the
same cores as the server, so their processor time is measured and subtracted: `images_per_second` counts only the time that
was left to the server. Writes results/serving.json.

Expect: with 16 clients at least 0.85 of the bare loop, no errors, p99 below 4 times p50, memory that does not grow. With four
times as many requests as the server can answer: only 200s and 429s, and full speed immediately afterwards.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import psutil
from run import RESULTS, machine

from headstart.artifact.predictor import Predictor
from headstart.data.catalog import open_data
from headstart.threads import cores

HERE = Path(__file__).parent
CLIENTS, OVERLOAD = 16, 4
REQUESTS_WARM, REQUESTS = 1_000, 10_000  # memory is compared after these numbers of requests


@dataclass(frozen=True)
class Load:
    """One load on one server."""

    images_per_second: float  # with the time that the clients left
    seconds: float
    client_processor_seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    peak_rss_mb: float
    rss_mb: float  # at its end


def main() -> None:
    """Measures everything and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set: a folder, or a name of the catalog")
    parser.add_argument("--model", help="a model or run folder; else a probe is trained on the data")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        photographs = photographs_of(options.data, Path(name) / "photographs")
        model = options.model or trained(options.data, Path(name) / "run")
        headstart = [sys.executable, "-m", "headstart", "serve", model, "--port"]
        plain = [sys.executable, str(HERE / "peers/plain_server.py"), model]
        bare = [bare_loop(model, photographs, options.seconds / 2)]
        with server(headstart) as (url, process):
            warm = load(url, process, photographs, "--clients", CLIENTS, "--seconds", 1, "--min-requests", REQUESTS_WARM)
            served = load(
                url, process, photographs, "--clients", CLIENTS, "--seconds", options.seconds, "--min-requests", REQUESTS
            )
        bare.append(bare_loop(model, photographs, options.seconds / 2))
        with server(plain) as (url, process):
            naive = load(url, process, photographs, "--clients", CLIENTS, "--seconds", options.seconds / 2)
        bare.append(bare_loop(model, photographs, options.seconds / 2))
        with server(headstart) as (url, process):
            load(url, process, photographs, "--clients", CLIENTS, "--seconds", 5)
            rate = OVERLOAD * median(bare)
            overload = load(url, process, photographs, "--rate", rate, "--seconds", options.seconds / 2)
            after = load(url, process, photographs, "--clients", CLIENTS, "--seconds", 2)
    result = {
        "machine": asdict(machine()),
        "bare_images_per_second": bare,
        "served": asdict(served),
        "of_bare": served.images_per_second / median(bare),
        "rss_mb_after": {REQUESTS_WARM: warm.rss_mb, REQUESTS_WARM + sum(served.statuses.values()): served.rss_mb},
        "plain": asdict(naive),
        "overload": {"requests_per_second": rate} | asdict(overload),
        "two_seconds_after": asdict(after),
    }
    (RESULTS / "serving.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "machine"}, indent=1))


def photographs_of(data: str, target: Path) -> Path:
    """A folder of links to the photographs of a data set."""
    target.mkdir()
    with open_data(data) as sources:
        for number, candidate in enumerate(sources.candidates):
            if candidate.file.suffix.lower() in (".jpg", ".jpeg", ".png"):
                (target / f"{number}{candidate.file.suffix}").symlink_to(candidate.file.resolve())
    return target


def trained(data: str, run: Path) -> str:
    """Trains a probe on the data; returns its run folder."""
    command = [sys.executable, "-m", "headstart", "train", data, "--strategy", "probe", "--quiet", "--output", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return str(run)


def bare_loop(model: str, photographs: Path, seconds: float) -> float:
    """Images a second from file to label, on all cores."""
    predictor, files, n, began = Predictor.load(model), sorted(photographs.iterdir()), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        n += sum(prediction.probabilities is not None for prediction in predictor.predict(files))
    rate = n / (time.perf_counter() - began)
    print(f"bare loop: {rate:.1f} images a second", file=sys.stderr)
    return rate


@contextmanager
def server(command: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """A server's address and process, once it accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)
            time.sleep(2)  # headstart listens before its model is loaded
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def load(url: str, process: psutil.Process, photographs: Path, *arguments: object) -> Load:
    """Puts a load on a server and records its memory during it."""
    ended, sizes = Event(), [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(0.1):
            sizes.append(process.memory_info().rss)

    watcher = Thread(target=watch)
    watcher.start()
    command = [sys.executable, str(HERE / "load_client.py"), url, str(photographs), *map(str, arguments)]
    try:
        printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    finally:
        ended.set()
        watcher.join()
    found: dict[str, Any] = json.loads(printed)
    seconds_left = found["seconds"] - found["processor_seconds"] / cores()
    answered = found["statuses"].get("200", 0)
    measured = Load(
        images_per_second=answered / seconds_left,
        seconds=found["seconds"],
        client_processor_seconds=found["processor_seconds"],
        statuses=found["statuses"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        peak_rss_mb=max(sizes) / 2**20,
        rss_mb=process.memory_info().rss / 2**20,
    )
    print(f"{' '.join(map(str, arguments))}: {measured}", file=sys.stderr)
    return measured


if __name__ == "__main__":
    main()
