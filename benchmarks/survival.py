"""Kills processes of whole `headstart embed` commands at random moments, and looks whether anything is lost or done twice.

    python benchmarks/survival.py worker driver --images 2000
    python benchmarks/survival.py raylet --images 8000
    python benchmarks/survival.py storage --images 2000

Parts, each by `--engine local:2` and by a Ray cluster of two nodes with one core each (`raylet`: Ray alone):

- worker: kill -9 of a worker; the command goes on
- raylet: kill -9 of the raylet of a node, in turn of the one that the command is not connected to, and of the one that it is
- driver: kill -9 of the command; it is started again
- storage: nothing is killed, but of the requests to an S3 on the loopback, which has the images, 5 % are answered by 503 or by
  half of the body, broken off, or not answered; by threads and by `local:2`

A moment is a drawn share (`--seed`) of the work: a hook in all processes notes each image file that is opened. A command that
ends with an error is started again, up to three times. Each table must equal the undisturbed one byte for byte, and nothing
else may be left beside it; images that were computed again are counted. Prints a line for each round and writes
results/survival.json.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

Found = Callable[["subprocess.Popen[str]"], list[psutil.Process]]  # of a command, what may be killed
RESULTS = Path(__file__).parent / "results" / "survival.json"
SIZE_PX, MOST_STARTS = 96, 4
LINE = len("00000.drawn.jpg\n")  # bytes of a note
OPENED = 2  # times that an image is opened: for its digest, and to be decoded
# Found by every Python that has its folder on PYTHONPATH, also on the nodes of the cluster.
NOTES_READS = """
import os, sys
folder, ours = os.environ["SURVIVAL_NOTES"], {}
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and str(arguments[0]).endswith(".drawn.jpg"):
        pid = os.getpid()
        if pid not in ours:
            ours[pid] = os.open(f"{folder}/{pid}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(ours[pid], os.path.basename(arguments[0]).encode() + b"\\n")
sys.addaudithook(note)
"""


@dataclass
class Round:
    """What came of one killed command."""

    killed: str
    after_share: float  # of the work
    n_starts: int
    n_images_again: int
    seconds: float
    n_rows: int
    is_same: bool  # as the table of the undisturbed command, byte for byte
    left: list[str]  # files beside the table
    told: list[str] = field(default_factory=list)  # how commands that were not killed failed


@dataclass
class Bench:
    """A folder of drawn images, and the command on them."""

    place: Path
    n_images: int
    options: list[str]

    def draw(self) -> None:
        """Draws two classes of noisy images."""
        rng = np.random.default_rng(0)
        for number in range(self.n_images):
            folder = self.place / "images" / f"class-{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(60, 200, (SIZE_PX // 8, SIZE_PX // 8, 3), np.uint8)
            Image.fromarray(pixels).resize((SIZE_PX, SIZE_PX)).save(folder / f"{number:05}.drawn.jpg")

    def prepare(self) -> None:
        """The environment of all commands and of the cluster."""
        for name in ("hook", "notes", "home", "out"):
            (self.place / name).mkdir()
        (self.place / "hook" / "sitecustomize.py").write_text(NOTES_READS)
        os.environ["PYTHONPATH"] = str(self.place / "hook")
        os.environ["SURVIVAL_NOTES"] = str(self.place / "notes")
        os.environ["HEADSTART_HOME"] = str(self.place / "home")

    def forget(self) -> None:
        """Removes what earlier commands stored and wrote."""
        for name in ("notes", "out"):
            shutil.rmtree(self.place / name)
            (self.place / name).mkdir()
        for name in ("features", "facts"):
            shutil.rmtree(self.place / "home" / name, ignore_errors=True)

    def start(self, engine: list[str], data: str = "") -> "subprocess.Popen[str]":
        """Starts the command, on other data than the drawn images if told."""
        images = data or str(self.place / "images")
        command = [sys.executable, "-m", "headstart", "embed", images, *engine, *self.options]
        return subprocess.Popen(
            [*command, "--output", str(self.table)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def table(self) -> Path:
        """What the command writes."""
        return self.place / "out" / "table.parquet"

    def share_done(self) -> float:
        """How much of the work is done, or begun."""
        return sum(file.stat().st_size for file in (self.place / "notes").iterdir()) / (LINE * OPENED * self.n_images)

    def n_again(self) -> int:
        """How many images were computed again."""
        lines = collections.Counter(line for file in (self.place / "notes").iterdir() for line in file.read_text().split())
        return sum(times > OPENED for times in lines.values())


def workers_below(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that compute, started by a command or by raylets."""
    below = [one for process in processes for one in process.children()]
    return [one for one in below if any(name in " ".join(one.cmdline()) for name in ("spawn_main", "ray::_Member"))]


def kill_when(is_so: Callable[[], bool], found: Callable[[], list[psutil.Process]], command: "subprocess.Popen[str]") -> bool:
    """Kills one of the processes as soon as it is so; whether the command was still there then."""
    while command.poll() is None:
        with suppress(psutil.Error):
            if is_so() and (processes := found()):
                random.choice(processes).kill()
                return True
        time.sleep(0.005)
    return False


def round_of(bench: Bench, engine: list[str], what: str, found: Found, share: float) -> Round:
    """Kills something, starts the command again until it succeeds, and looks at what it wrote."""
    bench.forget()
    told: list[str] = []
    began, command = time.perf_counter(), bench.start(engine)
    killed = kill_when(lambda: bench.share_done() >= share, lambda: found(command), command)
    n_starts = 1
    while (errors := command.communicate()[1]) is not None and command.returncode and n_starts < MOST_STARTS:
        if command.returncode != -9:
            told.append(errors.strip()[-600:])
        n_starts, command = n_starts + 1, bench.start(engine)
    content = bench.table.read_bytes() if bench.table.exists() else b""
    import pyarrow.parquet

    n_rows = pyarrow.parquet.read_metadata(bench.table).num_rows if content else 0
    left = sorted(path.name for path in bench.table.parent.iterdir() if path != bench.table)
    same = content == (bench.place / "undisturbed.parquet").read_bytes()
    seconds = time.perf_counter() - began
    return Round(what if killed else "nothing", share, n_starts, bench.n_again(), seconds, n_rows, same, left, told)


@dataclass
class Nodes:
    """A Ray cluster of two nodes; a node whose raylet is killed is replaced."""

    cluster: Any = None

    def whole(self) -> str:
        """The address of the cluster, with two nodes."""
        from ray.cluster_utils import Cluster

        if self.cluster is not None and _raylet(self.cluster.head_node) is None:
            self.end()
        if self.cluster is None:
            self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for node in list(self.cluster.worker_nodes):
            if _raylet(node) is None:
                self.cluster.remove_node(node, allow_graceful=False)
        if not self.cluster.worker_nodes:
            self.cluster.add_node(num_cpus=1)
        return str(self.cluster.address)

    def raylets(self, of_head: bool | None = None) -> list[psutil.Process]:
        """Those that run, of the node that commands connect to, of the other, or of both."""
        if self.cluster is None:
            return []
        heads, others = [self.cluster.head_node], list(self.cluster.worker_nodes)
        nodes = [*heads, *others] if of_head is None else heads if of_head else others
        return [process for node in nodes if (process := _raylet(node)) is not None]

    def end(self) -> None:
        """Ends all its processes."""
        if self.cluster is not None:
            self.cluster.shutdown()
        self.cluster = None


def _raylet(node: Any) -> psutil.Process | None:
    """The raylet of a node, if it runs."""
    process = node.all_processes["raylet"][0].process
    return psutil.Process(process.pid) if process.poll() is None else None


@contextmanager
def nodes() -> Iterator[Nodes]:
    """A cluster for as long as the block."""
    made = Nodes()
    try:
        yield made
    finally:
        made.end()


def measure(bench: Bench, kinds: list[str], n_rounds: int) -> list[dict[str, Any]]:
    """All rounds of all kinds."""
    rounds: list[dict[str, Any]] = []
    if not kinds:
        return rounds
    with nodes() as cluster:
        for name in ("local:2", "ray"):
            engine = lambda name=name: ["--engine", name if name != "ray" else f"ray:{cluster.whole()}"]  # noqa: E731
            for kind in [kind for kind in kinds if kind != "raylet" or name == "ray"]:
                for number in range(n_rounds):
                    words = engine()
                    found = {
                        "worker": lambda command: workers_below([psutil.Process(command.pid), *cluster.raylets()]),
                        "driver": lambda command: [psutil.Process(command.pid)],
                        "raylet": lambda _, of_head=number % 2 == 1: cluster.raylets(of_head),
                    }[kind]
                    what = kind if kind != "raylet" else f"raylet of {'the head' if number % 2 else 'a node'}"
                    came = round_of(bench, words, what, found, random.uniform(0.02, 0.98))
                    rounds.append({"engine": name} | came.__dict__)
                    print(json.dumps(rounds[-1]), flush=True)
    return rounds


def measure_storage(bench: Bench) -> list[dict[str, Any]]:
    """What came of the images in an S3 on a way where some requests go wrong."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import logging

    import pyarrow.parquet
    from object_storage import KINDS, faulty_way, object_storage

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    wanted = pyarrow.parquet.read_table(bench.place / "undisturbed.parquet")
    rounds = []
    with object_storage() as made:
        there = made.put_folder(bench.place / "images", "set")
        for name, engine in {"threads": [], "local:2": ["--engine", "local:2"]}.items():
            bench.forget()
            with faulty_way(made.endpoint, 0.05, KINDS) as way:
                began, command = time.perf_counter(), bench.start(engine, there)
                _, errors = command.communicate()
            assert command.returncode == 0, errors
            found = pyarrow.parquet.read_table(bench.table)
            same = found.column("vector") == wanted.column("vector")
            names = [[Path(path).name for path in table.column("path").to_pylist()] for table in (found, wanted)]
            rounds.append(
                {
                    "engine": name,
                    "requests": len(way.requests),
                    "faults": collections.Counter(way.faults),
                    "seconds": time.perf_counter() - began,
                    "n_rows": found.num_rows,
                    "is_same": same and names[0] == names[1],
                    "left": sorted(path.name for path in bench.table.parent.iterdir() if path != bench.table),
                }
            )
            print(json.dumps(rounds[-1]), flush=True)
    return rounds


def main() -> None:
    """Kills what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=["worker", "raylet", "driver", "storage"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--with", dest="given", nargs=argparse.REMAINDER, default=[], help="options for embed, such as --backbone"
    )
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place), given.images, given.given)
        bench.draw()
        bench.prepare()
        assert bench.start([]).wait() == 0
        shutil.copy(bench.table, bench.place / "undisturbed.parquet")
        rounds = measure(bench, [kind for kind in given.kinds if kind != "storage"], given.rounds)
        stored = measure_storage(bench) if "storage" in given.kinds else []
    known: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for kind in given.kinds:
        of_kind = stored if kind == "storage" else [one for one in rounds if kind in one["killed"]]
        known[kind] = {"images": given.images, "of a shard": max(16, min(512, given.images // 64)), "rounds": of_kind}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    assert all(one["is_same"] and not one["left"] for one in [*rounds, *stored])


if __name__ == "__main__":
    main()
