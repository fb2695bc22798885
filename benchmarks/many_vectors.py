"""Measures what is fitted and compared at once by many images: a probe and the search for twins on 500,000 feature vectors.

    python benchmarks/many_vectors.py probe twins --data sign_digits monkeys10       # half an hour on two cores, 5 GB of disk

Parts:

- probe: headstart's fit in passes over a file and scikit-learn's LogisticRegression in memory, on the same standardised
  features and at the same strength, and headstart's with the strength chosen by cross-validation; accuracy on 20,000 others,
  seconds, peak memory. Each in a process of its own, one after the other.
- twins: the search among 100,000 and 500,000, of which one in a hundred is a copy, in this process and by two others, of which
  one is killed in the middle once; the share found, whether all find the same, seconds, peak memory of this process.

The vectors are features of real images, each with noise of its own added. Prints a table and writes results/many_vectors.json.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from feature_sets import read

from headstart.audit.neighbourhoods import neighbourhood_at
from headstart.audit.tree_tops import BUCKET
from headstart.data.facts import ImageFacts
from headstart.model.features_on_disk import FeaturesOnDisk, in_parts
from headstart.model.probe import fit_probe
from headstart.model.softmax_regression import standardise
from headstart.tasks.probabilities import cross_entropy

RESULTS = Path(__file__).parent / "results" / "many_vectors.json"
N, N_TEST, FEWER = 500_000, 20_000, 100_000
STRENGTH = 1e-3  # of both fits
NOISE = 2.0  # standard deviations of a feature: one vector in ten is then taken for another class
COPIES, COPY_NOISE, COPY_BITS = 0.01, 0.05, 3  # share of copies; how far they are off, in features and bits of their hash


def main() -> None:
    """Measures the parts that are named, or one fit in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["probe", "twins"])
    parser.add_argument("--data", nargs="+", required=True, help="as for labelling.py")
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--folder", type=Path, help="where the vectors are kept for the next time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(ONE[given.one](given.folder, given.n) | {"peak_mb": peak_mb()}))
        return
    with tempfile.TemporaryDirectory() as aside:
        folder = given.folder or Path(aside)
        write_vectors(folder, given.data, given.n + N_TEST)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        for part in given.parts:
            names = ("passes", "memory", "chosen") if part == "probe" else ("fewer", "all", "fewer by two", "by two", "killed")
            results[part] = {name: in_a_process(name, folder, given) for name in names}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def in_a_process(one: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What a process prints that measures one thing."""
    command = [
        sys.executable,
        __file__,
        given.parts[0],
        "--data",
        "-",
        "--folder",
        str(folder),
        "--n",
        str(given.n),
        "--one",
        one,
    ]
    environment = os.environ | {"HEADSTART_HOME": str(folder / "home")}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found: dict[str, Any] = json.loads(answer)
    print(one, found, flush=True)
    return found


def peak_mb() -> float:
    """The largest resident memory of this process so far; getrusage would count that of the process that started it."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


# What is measured


def write_vectors(folder: Path, data: list[str], n: int) -> None:
    """Writes (n, n_last) vectors and their labels: of each real image as many, with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "labels.npy").exists():
        return
    sets = [read(name, "quick") for name in data]
    n_last = sets[0].vectors.shape[1] - sets[0].n_stage_features
    real = np.concatenate([images.vectors[:, :n_last] for images in sets])
    starts = np.cumsum([0, *(images.n_classes for images in sets)])
    labels = np.concatenate([images.labels + start for images, start in zip(sets, starts, strict=False)])
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(real), size=n)
    scale = (NOISE * real.std(axis=0)).astype(np.float32)
    made = FeaturesOnDisk(folder / "vectors", n, n_last, is_new=True, dtype=np.float32)
    for row, image in enumerate(chosen.tolist()):
        made[row] = real[image] + scale * rng.standard_normal(n_last, np.float32)
    made.close()
    np.save(folder / "labels.npy", labels[chosen])


def opened(folder: Path) -> tuple[FeaturesOnDisk, np.ndarray]:
    """The vectors and their labels."""
    labels = np.load(folder / "labels.npy")
    n_features = (folder / "vectors").stat().st_size // 4 // len(labels)
    return FeaturesOnDisk(folder / "vectors", len(labels), n_features, dtype=np.float32), labels


def in_passes(folder: Path, n: int, strength: float | None = STRENGTH) -> dict[str, float]:
    """The probe, as `train` fits it."""
    vectors, labels = opened(folder)
    rows, n_classes = np.arange(n), int(labels.max()) + 1
    began = time.perf_counter()
    probe = fit_probe(vectors, labels[:n], rows, n_classes, rows=rows, strength=strength)
    seconds = time.perf_counter() - began
    logits = probe.head.logits_of(vectors, np.arange(n, len(vectors)))
    return judged(logits, labels[n:]) | {"seconds": seconds, "strength": probe.strength}


def in_memory(folder: Path, n: int) -> dict[str, float]:
    """scikit-learn's fit to the same standardised features; reading and standardising them is not counted."""
    from sklearn.linear_model import LogisticRegression

    vectors, labels = opened(folder)
    points = standardise(vectors, np.arange(n), steady=True)
    of_train = np.empty((n, points.n_columns), np.float32)
    for part in points.parts():
        of_train[part] = points.part(part)
    of_test = (vectors[n : len(vectors)] - points.mean.astype(np.float32)) / points.scale.astype(np.float32)
    began = time.perf_counter()
    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit(of_train, labels[:n])
    seconds = time.perf_counter() - began
    return judged(fitted.decision_function(of_test), labels[n:]) | {"seconds": seconds, "strength": STRENGTH}


def judged(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and log loss."""
    return {"accuracy": float((logits.argmax(axis=1) == labels).mean()), "log_loss": cross_entropy(logits, labels)}


def twins_among(folder: Path, n: int, workplace: str | None = None, *, kills: bool = False) -> dict[str, Any]:
    """The search for copies as `audit` and `train` make it; frames of scenes, for which pictures are read, are not."""
    vectors, _ = opened(folder)
    rng = np.random.default_rng(1)
    n_copies = int(COPIES * n)
    first, second = rng.permutation(n)[: 2 * n_copies].reshape(2, -1)
    hashes = rng.integers(1 << 63, size=n, dtype=np.uint64) * 2 + rng.integers(2, size=n, dtype=np.uint64)
    flipped = np.uint64(1) << rng.integers(64, size=(COPY_BITS, n_copies), dtype=np.uint64)
    hashes[second] = hashes[first] ^ np.bitwise_xor.reduce(flipped, axis=0)
    spread = np.concatenate([*in_parts(vectors, np.arange(2_000))]).std(axis=0)
    copied = FeaturesOnDisk.nameless(folder, n, vectors.shape[1], np.float32)
    original = np.arange(n)
    original[second] = first
    for row in range(n):
        noise = COPY_NOISE * spread * rng.standard_normal(len(spread), np.float32) if original[row] != row else 0
        copied[row] = vectors[int(original[row])] + noise
    copied.close()
    killed = []

    def watch(stage: str, done: int, total: int) -> None:
        if kills and not killed and done > n // BUCKET:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    facts, before, began = [ImageFacts()] * n, peak_mb(), time.perf_counter()
    with neighbourhood_at(copied, np.arange(n), facts, workplace, progress=watch) as neighbourhood:
        one, other = neighbourhood.twin_pairs(hashes)
        seconds = time.perf_counter() - began
    found = set(zip(one.tolist(), other.tolist(), strict=True))
    planted = [(min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    share = sum(pair in found for pair in planted) / len(planted)
    same = hashlib.sha256(one.tobytes() + other.tobytes()).hexdigest()[:12]
    others = len(found.difference(planted))
    return {"n": n, "seconds": seconds, "found": share, "others": others, "digest": same, "peak_mb_before": before}


ONE = {
    "passes": in_passes,
    "memory": in_memory,
    "chosen": lambda folder, n: in_passes(folder, n, None),
    "fewer": lambda folder, n: twins_among(folder, n * FEWER // N),
    "all": twins_among,
    "fewer by two": lambda folder, n: twins_among(folder, n * FEWER // N, "local:2"),
    "by two": lambda folder, n: twins_among(folder, n, "local:2"),
    "killed": lambda folder, n: twins_among(folder, n, "local:2", kills=True),
}

if __name__ == "__main__":
    main()
