"""Measures what it costs to compute elsewhere: processes of this machine, and a Ray cluster of two nodes with one core each.

    python benchmarks/cluster.py embed listing --images /tmp/studio-100k/0 /tmp/studio-100k/1

Parts:

- embed: the same images by the plain command, by `--engine local` and by `--engine ray`, in turn; images a second and start-up
- listing: 100,000 and 1,000,000 objects in an S3 on the loopback are listed and cut into shards; seconds and memory

Prints a table and writes results/cluster.json. An S3 on the loopback is moto's server: it sorts all keys for each page that it
answers, so listing takes it longer than a real one.
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
def storage(n_objects: int, folders: int = 10) -> Iterator[str]:
    """The endpoint of an S3, in a process of its own, with so many empty objects in some folders of the bucket `many`."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(n_objects), str(folders)], stdout=subprocess.PIPE, text=True
    ) as server:
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
    print(json.dumps([len(sources.candidates), listed, cut, peak]))
"""


def measure_listing(n_objects: int) -> dict[str, float]:
    """Seconds until all objects are listed, and cut into shards; the most memory."""
    with storage(n_objects) as endpoint, tempfile.TemporaryDirectory() as home:
        environment = os.environ | KEYS | {"AWS_ENDPOINT_URL": endpoint, "HEADSTART_HOME": home}
        listed = subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True, env=environment)
    n, seconds, cut, peak = json.loads(listed.stdout)
    assert n == n_objects
    return {f"{n:,}: listed, s": seconds, f"{n:,}: cut into shards, s": cut, f"{n:,}: memory, MB": peak}


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="embed|listing")
    parser.add_argument("--images", type=Path, help="a folder with one folder a class")
    parser.add_argument("--rounds", type=int, default=3)
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
            known[f"listing {n_objects}"] = measure_listing(n_objects) | {"load": os.getloadavg()[0]}
    for part in known.values():
        for name, value in part.items():
            print(f"{name:40} {value:10.2f}")
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
