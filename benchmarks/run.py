"""Compares headstart with what people use instead: one run, one machine, the same images, backbone and seed for all.

    make bench          about 30 minutes on two cores; the slow procedures run for 2 of their epochs and are extrapolated
    make bench-full     the slow procedures run to their end

Expect on two cores (EfficientNet-Lite0, ants and bees): the tutorial in minutes, a warm probe in two seconds. Each contender
is a separate process, timed from start to end, one after the other, with as many threads as there are cores; those that take
less than 20 seconds run three times in turn, and the median is reported. Run nothing else at the same time. Writes
results/<data>.json, results/table.md and results/accuracy-against-seconds.png.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rendering import picture, table
from rounds import ROUNDS, Contender, measure, timings

from headstart.data.catalog import open_data
from headstart.data.splits import hold_out
from headstart.threads import cores

HERE = Path(__file__).parent.absolute()
RESULTS = HERE / "results"
VERSIONS = ("headstart", "torch", "timm", "onnxruntime", "openvino", "numpy", "scikit-learn", "pillow")
PEERS_VERSIONS = ("torch", "torchvision", "timm", "fastai", "vyntri", "numpy", "scikit-learn", "pillow")
# The same for all: no more and no fewer threads than cores, and no connection to a model hub.
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(cores())),
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
IMPORTS = "import torch, timm; print('{}')"


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
    only = "only the contenders whose name has this regular expression, for a try; nothing is written. Warm needs its cold"
    parser.add_argument("--only", default="", metavar="REGEX", help=only)
    options = parser.parse_args()
    options.peers = options.peers.absolute()  # not resolved: the python of a virtual environment is a link
    for data in options.data:
        result = compared(data, options)
        if options.only:
            print(table([result]))
            continue
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['data']}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not options.only:
        render()


def compared(data: str, options: argparse.Namespace) -> dict[str, Any]:
    """What results/<data>.json holds: all contenders on one data set, and the machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        split = split_folder(data, folder / "data", options.seed)
        warm_up(split, folder, options.peers)
        all_of_them = [*headstart_contenders(split, folder, options.seed), *peer_contenders(split, folder, options)]
        measured = timings([contender for contender in all_of_them if re.search(options.only, contender.name)])
    about = {"data": Path(data).name, "seed": options.seed, "machine": asdict(machine()) | beside(options.peers)}
    return about | {"timings": [timing.as_json() for timing in measured]}


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


def warm_up(data: Path, folder: Path, peers: Path) -> None:
    """Makes folder/empty and folder/prepared, the homes to start from, and reads files once, so that none comes from the disk.

    What headstart compiles once per installation, as `make install` does, is compiled in folder/prepared.
    """
    (folder / "empty").mkdir()
    prepare = [sys.executable, "-m", "headstart", "backbones", "--prepare"]
    subprocess.run(prepare, env=os.environ | headstart_environment(folder / "prepared"), check=True, stdout=subprocess.DEVNULL)
    scratch = headstart_environment(folder / "scratch")
    measure("not counted: headstart", [*train(data, 0), "--strategy", "probe", "--effort", "quick"], scratch)
    measure("not counted: headstart's torch", [sys.executable, "-c", IMPORTS], ENVIRONMENT)
    libraries = "import sklearn.linear_model, timm, vyntri, fastai.vision.all; print('{}')"
    measure("not counted: the peers' libraries", [str(peers), "-c", libraries], ENVIRONMENT)


def headstart_environment(home: Path) -> dict[str, str]:
    """The environment of a headstart that keeps what it keeps in `home`."""
    return {**ENVIRONMENT, "HEADSTART_HOME": str(home)}


def train(data: Path, seed: int) -> list[str]:
    """The command, to which the strategy is added."""
    return [sys.executable, "-m", "headstart", "train", str(data), "--seed", str(seed), "--json"]


def headstart_contenders(data: Path, folder: Path, seed: int) -> list[Contender]:
    """First ever: an empty home, nothing compiled. Cold: compiled, no features stored. Warm: after the cold run."""
    empty, prepared = folder / "empty", folder / "prepared"
    probe = [*train(data, seed), "--strategy", "probe"]
    quick = [*probe, "--effort", "quick"]

    def contender(name: str, command: list[str], home: str, begins_as: Path | None) -> Contender:
        renewed = None if begins_as is None else (folder / home, begins_as)
        return Contender(f"headstart {name}", command, headstart_environment(folder / home), renewed)

    return [
        contender("probe, quick, first ever", quick, "first", empty),
        contender("probe, quick, cold", quick, "quick", prepared),
        contender("probe, quick, warm", quick, "quick", None),
        contender("probe, normal effort, cold", probe, "normal", prepared),
        contender("finetune", [*train(data, seed), "--strategy", "finetune"], "tuned", prepared),
    ]


def peer_contenders(data: Path, folder: Path, options: argparse.Namespace) -> list[Contender]:
    """The others, each with its own defaults. vyntri keeps features, as headstart does, so it is run without and with them."""
    seed = ("--seed", str(options.seed))
    kept = folder / "vyntri"

    def contender(name: str, script: str, *more: str, renewed: tuple[Path, Path] | None = None) -> Contender:
        return Contender(name, [str(options.peers), str(HERE / "peers" / script), str(data), *more], ENVIRONMENT, renewed)

    epochs = () if options.full else ("--epochs", "2")
    tutorial = [
        contender("tutorial, frozen", "tutorial.py", *seed, *epochs, "--frozen"),
        contender("tutorial, fine-tuned", "tutorial.py", *seed, *epochs),
    ]
    return [
        contender("vyntri, first", "vyntri_fit.py", "--cache", str(kept), renewed=(kept, folder / "empty")),
        contender("vyntri, from its cache", "vyntri_fit.py", "--cache", str(kept)),
        contender("usual script (timm, DataLoader, scikit-learn)", "usual_script.py"),
        contender(
            f"fastai, fine_tune({options.fastai_epochs})", "fastai_learner.py", "--epochs", str(options.fastai_epochs), *seed
        ),
        *([] if options.without_tutorial else tutorial),
    ]


def machine() -> Machine:
    """The machine and versions that the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return Machine(model, cores(), platform.python_version(), {name: version(name) for name in VERSIONS})


def beside(peers: Path) -> dict[str, Any]:
    """What a comparison also depends on: the peers' versions, and the seconds of a process that imports torch and timm."""
    ask = f"import json, importlib.metadata as m; print(json.dumps({{name: m.version(name) for name in {PEERS_VERSIONS}}}))"
    _, _, theirs = measure("the peers' versions", [str(peers), "-c", ask], ENVIRONMENT)
    imports = [measure("import torch, timm", [sys.executable, "-c", IMPORTS], ENVIRONMENT)[0] for _ in range(ROUNDS)]
    return {"peers_versions": theirs, "import_torch_timm_seconds": statistics.median(imports)}


def render() -> None:
    """Writes one table and one picture of all results in the folder."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    results = [result for result in found if "timings" in result]  # other benchmarks write there too
    (RESULTS / "table.md").write_text(table(results), encoding="utf-8")
    picture(results).savefig(RESULTS / "accuracy-against-seconds.png", dpi=110)


if __name__ == "__main__":
    main()
