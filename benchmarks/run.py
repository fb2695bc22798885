"""Compares headstart with what people use instead: one run, one machine, the same images, backbone and seed for all.

    make bench          about 25 minutes on two cores; the slow procedures run for 2 of their epochs and are extrapolated
    make bench-full     the slow procedures run to their end

Expect on two cores (EfficientNet-Lite0, ants and bees): the tutorial in minutes, a warm probe in two seconds. Each contender
is a separate process, timed from start to end, one after the other. Run nothing else at the same time. Writes
results/<data>.json, results/table.md and results/accuracy-against-seconds.png.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from headstart.data.catalog import open_data
from headstart.data.splits import hold_out
from headstart.threads import cores

HERE = Path(__file__).parent
RESULTS = HERE / "results"
VERSIONS = ("headstart", "torch", "timm", "onnxruntime", "openvino", "numpy", "scikit-learn", "pillow")
STYLES = {"headstart": ("#D55E00", "s"), "others": ("#0072B2", "o")}


@dataclass(frozen=True)
class Timing:
    """One contender's process."""

    name: str
    seconds: float  # from process start to its end
    accuracy_best: float
    accuracy_last: float
    peak_rss_mb: float  # of the largest process
    extrapolated: bool = False
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """The machine and the versions that the measurements ran on."""

    processor: str
    cores: int
    python: str
    versions: dict[str, str]


def main() -> None:
    """Runs all contenders on the data sets and renders the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="data sets: folders, or names of the catalog")
    parser.add_argument("--peers", type=Path, required=True, help="the python of the peers' virtual environment")
    parser.add_argument("--full", action="store_true", help="run the tutorial's procedure to its end")
    parser.add_argument("--fastai-epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-tutorial", action="store_true", help="leave out the slowest peer")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for data in options.data:
        with tempfile.TemporaryDirectory() as folder:
            split = split_folder(data, Path(folder) / "data", options.seed)
            timings = list(contenders(split, Path(folder), options))
        name = Path(data).name
        content = {"data": name, "seed": options.seed, "machine": asdict(machine()), "timings": [asdict(t) for t in timings]}
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    render()


def split_folder(data: str, target: Path, seed: int) -> Path:
    """train/ and val/ with links to the images, the same split for all: the data's own, or 20 % of train held out."""
    with open_data(data) as sources:
        readable = [c for c in sources.candidates if c.label and c.file.suffix.lower() != ".gif"]
        splits = [c.split for c in readable]
        if not any(splits):
            names = sorted({c.label or "" for c in readable})
            labels = np.array([names.index(c.label or "") for c in readable])
            held = hold_out(labels, np.arange(len(labels)), 0.2, seed, names)
            splits = ["val" if is_held else "train" for is_held in held]
        for number, (candidate, split) in enumerate(zip(readable, splits, strict=True)):
            place = target / str(split) / str(candidate.label) / f"{number}{candidate.file.suffix or '.jpg'}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(candidate.file.resolve())
    return target


def contenders(data: Path, folder: Path, options: argparse.Namespace) -> Iterator[Timing]:
    """Runs one after the other. What headstart compiles once per installation is compiled first and not timed."""
    home = folder / "home"
    headstart = [sys.executable, "-m", "headstart", "train", str(data), "--seed", str(options.seed), "--json"]
    environment = {"HEADSTART_HOME": str(home)}
    probe = [*headstart, "--strategy", "probe", "--output"]
    measure("compile", [*probe, str(folder / "compile")], environment)
    for kind in ("features", "facts"):
        shutil.rmtree(home / kind)
    yield headstart_timing("headstart probe, cold", [*probe, str(folder / "cold")], environment)
    yield headstart_timing("headstart probe, warm", [*probe, str(folder / "warm")], environment)
    shutil.rmtree(home / "features")
    tuned = [*headstart, "--strategy", "finetune", "--output", str(folder / "tuned")]
    yield headstart_timing("headstart finetune", tuned, environment)
    peers, seed = str(options.peers), ["--seed", str(options.seed)]
    yield peer_timing("usual script (timm, DataLoader, scikit-learn)", [peers, str(HERE / "peers/usual_script.py"), str(data)])
    fastai = [peers, str(HERE / "peers/fastai_learner.py"), str(data), "--epochs", str(options.fastai_epochs), *seed]
    yield peer_timing(f"fastai, fine_tune({options.fastai_epochs})", fastai)
    if options.without_tutorial:
        return
    tutorial = [peers, str(HERE / "peers/tutorial.py"), str(data), *seed, *([] if options.full else ["--epochs", "2"])]
    yield peer_timing("tutorial, frozen", [*tutorial, "--frozen"])
    yield peer_timing("tutorial, fine-tuned", tutorial)


def headstart_timing(name: str, command: list[str], environment: dict[str, str]) -> Timing:
    """A run of headstart."""
    seconds, peak, printed = measure(name, command, environment)
    evaluation = printed["evaluation"]
    more = {"accuracy_ci95": evaluation["accuracy_ci95"], "stages": printed["seconds"], "best_epoch": printed["best_epoch"]}
    return Timing(name, seconds, evaluation["accuracy"], evaluation["accuracy"], peak, more=more)


def peer_timing(name: str, command: list[str]) -> Timing:
    """A run of a peer. If it ran for only some of its epochs, its seconds are extrapolated from their mean."""
    seconds, peak, printed = measure(name, command, {})
    accuracies, epochs = printed.pop("accuracies"), printed.get("epochs_of_the_procedure", 0)
    extrapolated = epochs > len(accuracies)
    if extrapolated:
        seconds += (epochs - len(accuracies)) * float(np.mean(printed["epoch_seconds"]))
    return Timing(name, seconds, max(accuracies), accuracies[-1], peak, extrapolated, printed)


def measure(name: str, command: list[str], environment: dict[str, str]) -> tuple[float, float, dict[str, Any]]:
    """Wall seconds, peak memory in MiB, and the JSON that the process printed last."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment, text=True) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    print(f"  {seconds:.1f} s", file=sys.stderr, flush=True)
    return seconds, usage.ru_maxrss / 1024, json.loads(out.strip().splitlines()[-1])


def machine() -> Machine:
    """The machine and versions that the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return Machine(model, cores(), platform.python_version(), {name: version(name) for name in VERSIONS})


def render() -> None:
    """Writes one table and one picture of all results in the folder."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    results = [result for result in found if "timings" in result]  # other benchmarks write there too
    lines = []
    for result in results:
        slowest = max(timing["seconds"] for timing in result["timings"])
        lines += [
            f"### {result['data']}",
            "",
            "| | seconds | times faster | accuracy, best (last) | peak memory |",
            "|---|---|---|---|---|",
        ]
        for timing in sorted(result["timings"], key=lambda timing: -timing["seconds"]):
            mark = " (extrapolated)" if timing["extrapolated"] else ""
            accuracy = f"{timing['accuracy_best']:.3f} ({timing['accuracy_last']:.3f})"
            if timing["extrapolated"]:
                accuracy = "not run to its end"
            faster = slowest / timing["seconds"]
            cells = (
                timing["name"],
                f"{timing['seconds']:.1f}{mark}",
                f"{faster:.0f}",
                accuracy,
                f"{timing['peak_rss_mb']:.0f} MB",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    (RESULTS / "table.md").write_text("\n".join(lines), encoding="utf-8")
    figure = Figure(figsize=(5.2 * len(results), 3.8), layout="constrained")
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        for timing in result["timings"]:
            if timing["extrapolated"]:
                continue
            colour, marker = STYLES["headstart" if timing["name"].startswith("headstart") else "others"]
            axes.plot(timing["seconds"], timing["accuracy_best"], marker, color=colour, markersize=8)
            label = timing["name"].split(" (")[0]
            place = (timing["seconds"], timing["accuracy_best"])
            # Slanted, because several points lie side by side at nearly the same accuracy.
            axes.annotate(label, place, xytext=(2, 6), textcoords="offset points", fontsize=8, rotation=35)
        axes.set(xscale="log", xlabel="seconds, whole process", ylabel="val accuracy")
        axes.set_title(result["data"], pad=24)
        axes.margins(x=0.45, y=0.45)
        axes.grid(alpha=0.25)
    figure.savefig(RESULTS / "accuracy-against-seconds.png", dpi=110)


if __name__ == "__main__":
    main()
