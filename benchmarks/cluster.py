"""Measures what it costs to compute elsewhere: processes of this machine, and a Ray cluster of two nodes with one core each.

    python benchmarks/cluster.py embed listing --images /tmp/studio-100k/0 /tmp/studio-100k/1

Parts:

- embed: the same images by the plain command, by `--engine local` and by `--engine ray`, in turn; images a second and start-up
- listing: 100,000 and 1,000,000 objects in an S3 on the loopback are listed and cut into shards, and written as a table with
  made-up features while they are listed; seconds and memory

Prints a table and writes results/cluster.json. An S3 on the loopback is moto's server, which sorts all keys for each page that
it answers and takes most of the time, and one that only lists (listing_storage.py), at most 1,000 objects a page as Amazon's,
which takes hardly any: what is left is the time of headstart and of the S3 client.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "cluster.json"
PAGES = Path(__file__).with_name("listing_storage.py")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def embed(data: Path, home: Path, engine: list[str]) -> float:
    """Seconds of the command with nothing stored."""
    for folder in ("features", "facts"):
        shutil.rmtree(home / folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        output = ["--quiet", "--output", f"{place}/out.parquet"]
        command = [sys.executable, "-m", "headstart", "embed", str(data), *engine, *output]
        began = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"HEADSTART_HOME": str(home)})
        return time.perf_counter() - began


@contextmanager
def two_nodes(home: Path) -> Iterator[str]:
    """The address of a Ray cluster on this machine."""
    os.environ["HEADSTART_HOME"] = str(home)
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made.address
    made.shutdown()


def measure_embed(images: Path, rounds: int) -> dict[str, float]:
    """Images a second by each way, the median of the rounds, which go in turn; start-up is that of one image."""
    n_images = sum(1 for _ in images.glob("*/*"))
    with tempfile.TemporaryDirectory() as place:
        home, one = Path(place) / "home", Path(place) / "one"
        for folder in sorted(images.iterdir())[:2]:
            (one / folder.name).mkdir(parents=True)
            shutil.copy(next(folder.iterdir()), one / folder.name)
        embed(one, home, [])  # compiles the network
        with two_nodes(home) as address:
            ways = {"threads": [], "local": ["--engine", "local"], "ray": ["--engine", f"ray:{address}"]}
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            starts: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, engine in ways.items():
                    starts[name].append(embed(one, home, engine))
                    seconds[name].append(embed(images, home, engine))
    found = {"images": float(n_images)}
    for name in ways:
        found[f"{name}: images a second"] = n_images / statistics.median(seconds[name])
        found[f"{name}: two images, s"] = statistics.median(starts[name])
        ratios = [plain / other for plain, other in zip(seconds["threads"], seconds[name], strict=True)]
        found[f"{name}: of the plain command"] = statistics.median(ratios)
    return found


@contextmanager
def storage(store: list[str]) -> Iterator[str]:
    """The endpoint of an S3 that a program serves, in a process of its own, with empty objects below s3://many/set."""
    with subprocess.Popen([sys.executable, *store], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


def serve(n_objects: int, folders: int) -> None:
    """Runs the S3; the objects are put into it directly, as a million requests would take an hour."""
    import copy
    import logging

    import boto3
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="many")
    client.put_object(Bucket="many", Key="first", Body=b"")
    keys = s3_backends["123456789012"]["aws"].buckets["many"].keys
    for number in range(n_objects):
        one = copy.copy(keys["first"])
        one.name = f"set/{number % folders}/{number:07}.jpg"
        keys[one.name] = one
    print(f"http://{host}:{port}", flush=True)
    time.sleep(10**6)


LIST = """
import json, resource, sys, time
from headstart.data.catalog import open_data
from headstart.jobs.shards import shards_of
began = time.perf_counter()
with open_data("s3://many/set") as sources:
    listed = time.perf_counter() - began
    n_shards = sum(1 for _ in shards_of(sources.candidates, "key", len(sources.candidates)))
    cut = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps([len(sources.candidates), listed, cut, time.process_time(), peak]))
"""
# `embed` up to the written table, with made-up features of 32 numbers in place of a network's: the empty objects are not read.
EMBED = """
import json, os, resource, sys, time
from functools import partial
import numpy as np
from headstart.artifact.feature_file import write_embedding
from headstart.data.catalog import open_data
from headstart.data.facts import ImageFacts
from headstart.jobs import scanning
from headstart.jobs.parts import PartFolder
from headstart.jobs.scan_table import table_of
from headstart.model.features import Work, row_of
from headstart.model.pipeline import Opened
from headstart.settings import TrainSettings
from headstart.storage import sha256_of_bytes

class Task:
    key, on_gpu, preprocess, first = "made up", False, type("OneView", (), {"n_views": 1}), 0.0
    def open(self, n_threads):
        def compute(candidates):
            self.first = self.first or time.perf_counter() - began
            digests = [sha256_of_bytes(one.path.encode()) for one in candidates]
            made = [Opened(sha256=digest, facts=ImageFacts(), vectors=np.ones((1, 32), np.float32)) for digest in digests]
            return table_of([row_of(*both) for both in zip(candidates, made)], 32), Work(computed=len(made))
        return compute

began, task, settings = time.perf_counter(), Task(), TrainSettings()
scanning.ScanTask.of = staticmethod(lambda *_: task)
parts = PartFolder(scanning.home() / "parts")
ahead = partial(scanning.scan_ahead, backbone=None, settings=settings, parts=parts, work=Work())
with open_data("s3://many/set", ahead=ahead) as sources:
    listed = time.perf_counter() - began
    rows = scanning._rows_of_long(sources.candidates, task, parts, scanning.silent, 1)
    n = write_embedding(scanning.home() / "table.parquet", rows, 32)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps([n, task.first, time.perf_counter() - began, peak]))
"""


def measured(program: str, endpoint: str) -> list[float]:
    """What a program prints that lists the store in a process and a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | KEYS | {"AWS_ENDPOINT_URL": endpoint, "HEADSTART_HOME": home}
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


def measure_listing(n_objects: int, store: list[str]) -> dict[str, float]:
    """Seconds until all objects are listed, cut into shards, computed on and written; the most memory."""
    with storage(store) as endpoint:
        n, seconds, cut, processor, peak = measured(LIST, endpoint)
        n_rows, first, total, embed_peak = measured(EMBED, endpoint)
    assert n == n_rows == n_objects
    return {
        f"{n:,}: listed, s": seconds,
        f"{n:,}: cut into shards, s": cut,
        f"{n:,}: both, s of a processor": processor,
        f"{n:,}: memory, MB": peak,
        f"{n:,}: first images computed, s": first,
        f"{n:,}: table written, s": total,
        f"{n:,}: memory of embed, MB": embed_peak,
    }


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="embed|listing")
    parser.add_argument("--images", type=Path, help="a folder with one folder a class")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", choices=["moto", "pages"], help="of listing: only this one")
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.update(KEYS)
    if given.serve:
        serve(*given.serve)
        return
    known: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if "embed" in given.parts:
        known["embed"] = measure_embed(given.images, given.rounds) | {"load": os.getloadavg()[0]}
    if "listing" in given.parts:
        for n_objects in (100_000, 1_000_000):
            stores = {"moto": [__file__, "--serve", str(n_objects), "10"], "pages": [str(PAGES), str(n_objects)]}
            for name, store in stores.items():
                if given.store in (None, name):
                    known[f"listing {n_objects} {name}"] = measure_listing(n_objects, store) | {"load": os.getloadavg()[0]}
    for part, values in known.items():
        print(part)
        for name, value in values.items():
            print(f"{name:40} {value:10.2f}")
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
