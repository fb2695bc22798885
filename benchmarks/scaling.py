"""How time and memory grow with the number of images: nothing stored, all stored, and 1 % new images.

    make bench-scaling        about 20 minutes on two cores and 2 GB of disk
    python benchmarks/scaling.py DATA --sizes 1000 10000 50000

Makes the images by cropping those of DATA and encoding the crops, writes their features with `headstart embed`, and records
seconds and peak memory of the process. Expect on two cores: about 4 ms per image cold, 0.2 ms warm, memory within 1.3 times.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from run import RESULTS, machine

from headstart.data.catalog import open_data
from headstart.threads import map_in_threads

SIDE_PX = (320, 420)  # of a crop: shorter and longer side, as in photographs for the web
NEW_SHARE = 0.01


def main() -> None:
    """Measures all sizes and writes results/scaling.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = read_pictures(options.data)
        embed(make_images(pictures, Path(folder) / "first", 8), Path(folder) / "home")  # compiles, once per installation
        for size in options.sizes:
            images, home = make_images(pictures, Path(folder) / str(size), size), Path(folder) / "home"
            for kind in ("features", "facts"):
                shutil.rmtree(home / kind)
            row: dict[str, float] = {
                "images": size,
                "bytes_an_image": sum(f.stat().st_size for f in images.rglob("*.jpg")) / size,
            }
            for run in ("cold", "warm"):
                row |= {f"{run}_{name}": value for name, value in embed(images, home).items()}
            make_images(pictures, images, max(1, int(size * NEW_SHARE)), first=size)
            row |= {f"new_{name}": value for name, value in embed(images, home).items()}
            rows.append(row)
            print(json.dumps(row), flush=True)
            shutil.rmtree(images)
    content = {"data": Path(options.data).name, "machine": asdict(machine()), "rows": rows}
    (RESULTS / "scaling.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_pictures(data: str) -> list[Image.Image]:
    """The pictures that the crops are taken from."""
    with open_data(data) as sources:
        files = [candidate.file for candidate in sources.candidates if candidate.file.suffix.lower() in (".jpg", ".png")]
    return [Image.open(file).convert("RGB") for file in files[:200]]


def make_images(pictures: Sequence[Image.Image], folder: Path, count: int, first: int = 0) -> Path:
    """Writes random crops of the pictures as JPEG, from number `first` on. The same number gives the same crop."""

    def make(number: int) -> None:
        rng = np.random.default_rng(number)
        picture = pictures[int(rng.integers(len(pictures)))]
        side = int(rng.integers(int(min(picture.size) * 0.5), min(picture.size)))
        left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize(SIDE_PX[::-1])
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG", quality=85)
        place = folder / f"class {number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(buffer.getvalue())

    for _ in map_in_threads(make, range(first, first + count)):
        pass
    return folder


def embed(images: Path, home: Path) -> dict[str, float]:
    """Seconds and peak memory in MiB of `headstart embed`."""
    target = images.parent / "features.parquet"
    command = [sys.executable, "-m", "headstart", "embed", str(images), "--output", str(target), "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"HEADSTART_HOME": str(home)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"embed ended with {process.returncode}")
    target.unlink()
    return {"seconds": round(seconds, 2), "peak_rss_mb": round(usage.ru_maxrss / 1024, 1)}


if __name__ == "__main__":
    main()
