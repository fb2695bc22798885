"""The package is a staircase: a module imports its own step or a lower one, never a higher one."""

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from headstart.apps.main import COMMANDS

PROJECT = Path(__file__).parents[1]
ROOT = PROJECT / "src" / "headstart"

STEPS = [  # lowest first
    {
        "errors",
        "deadline",
        "schema",
        "settings",
        "storage",
        "recipes",
        "progress",
        "machine",
        "download",
        "threads",
        "locks",
        "privacy",
        "forks",
        "workplace",
        "channels",
        "child_processes",
    },
    {"addresses"},
    {"data"},
    {"tasks"},
    {"evaluation"},
    {"model"},
    {"jobs"},
    {"audit"},
    {"fitting"},
    {"labelling"},
    {"artifact"},
    {"record"},
    {"runs"},
    {"apps"},
]
TORCH = (
    "model.hardware",
    "model.backbones",
    "model.augmentation",
    "model.finetune",
    "model.optimizer",
    "model.checkpoint",
    "model.distributed",
    "model.epoch_sums",
    "model.losses",
    "model.folding",
    "model.precision",
    "model.stages",
    "model.states",
    "model.timm_networks",
)
ROOMS = {  # outside package -> the only modules that may import it
    "cleanlab": ("audit.labels", "audit.set_labels"),
    "fsspec": ("addresses.filesystems",),
    "ray": ("jobs.ray_crew", "jobs.ray_cluster", "jobs.ray_training"),
    "fastapi": ("apps.serving.", "apps.http.", "apps.studio."),
    "filelock": ("locks",),
    "prometheus_client": ("apps.serving.counters",),
    "starlette": ("apps.serving.", "apps.http."),
    "uvicorn": ("apps.http.server",),
    "PIL": (
        "data.images",
        "data.encoding",
        "data.eight_bits",
        "data.multiband",
        "data.colour",
        "data.heic",
        "data.tiff_samples",
        "data.tiff_stacks",
        "data.facts",
        "data.miniatures",
        "data.odd_images",
        "data.preprocess",
        "data.pixels",
        "data.given_images",
        "data.pil_images",
    ),
    "pillow_heif": ("data.heic",),
    "pydicom": ("data.dicom",),
    "av": ("data.videos",),
    "tifffile": ("data.tiff_stacks",),
    "huggingface_hub": ("addresses.hub", "addresses.hub_commits", "model.weights"),
    "jinja2": ("artifact.page",),
    "ai_edge_litert": ("model.engines", "model.litert_file"),
    "flatbuffers": ("model.litert_file",),
    "onnx": ("model.exported", "model.lite_graph", "model.activation_maps", "model.litert_operators"),
    "mlflow": ("record.mlflow_tracker",),
    "tensorboard": ("record.tensorboard_tracker",),
    "wandb": ("record.wandb_tracker",),
    "matplotlib": ("artifact.figures", "artifact.fonts"),
    "onnxruntime": ("model.engines", "model.exported"),
    "openvino": ("model.engines", "model.exported"),
    "psutil": ("machine",),
    "pyarrow": (
        "data.long_listing",
        "data.parquet_cells",
        "data.parquet_files",
        "data.parquet_tables",
        "model.arrow_columns",
        "model.feature_store",
        "model.store_table",
        "jobs.",
        "audit.bucket_task",
        "artifact.feature_file",
        "artifact.model_scan_task",
        "artifact.predict_task",
        "apps.answers.parquet",
    ),
    "rich": ("apps.",),
    "safetensors": (
        "model.backbones",
        "model.states",
        "model.checkpoint",
        "model.exported",
        "model.familiarity",
        "model.frozen",
        "model.torch_files",
    ),
    "sklearn": ("audit.shortcuts", "runs.classifier", "runs.estimator", "runs.regressor"),
    "timm": ("model.backbones",),
    "torch": TORCH,
    "torchvision": ("model.augmentation",),
    "typer": ("apps.",),
}
HEAVY = ("torch", "torchvision", "timm")
# What shows or does training is imported where it is called.
LOADS_HEAVY = {
    *TORCH,
    "artifact.preview",
    "fitting.finetune_fit",
    "fitting.cluster_training",
    "fitting.tuned_start",
    "fitting.val_answers",
    "model.batches",
}
MAX_FILE, MAX_FUNCTION, MAX_MEDIAN_FILE = 400, 50, 119  # lines
# These alone may be longer, up to this many lines; the lists may only shrink.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
SAME_NAME: dict[str, str] = {}  # a module's or class's name that may stand in two rooms -> why


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if not path.name.startswith("__")}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def all_imports() -> Iterator[tuple[str, str]]:
    """(module, what it imports) for every import statement, also those inside functions."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                yield module, "." * node.level + (node.module or "")
            elif isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)


IMPORTS = sorted(set(all_imports()))
VERSION_ONLY = "headstart"  # `from headstart import __version__`
INNER = [(m, t.removeprefix("headstart.")) for m, t in IMPORTS if t.split(".")[0] in ("headstart", "") and t != VERSION_ONLY]


def step_of(module: str) -> int:
    """The number of the step a module stands on; a name in no step fails the test."""
    return next(i for i, names in enumerate(STEPS) if module.split(".")[0] in names)


def assert_none(offenders: Collection[object], what_to_do: str) -> None:
    """All offenders are named, not only the first."""
    assert not offenders, f"{what_to_do}: {offenders if isinstance(offenders, dict) else sorted(offenders, key=str)}"


def is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or (room.endswith(".") and module.startswith(room)) for room in rooms)


def test_imports_go_down_and_name_modules_in_full() -> None:
    """Each module has a step; imports name a module in full (`from headstart.data.dataset import Dataset`), no higher one."""
    assert len(MODULES) > 40 and len(INNER) > 100, "the guard looks at no real modules"
    assert_none([m for m in MODULES if m.split(".")[0] not in set.union(*STEPS)], "give it a step in STEPS")
    assert_none([(m, target) for m, target in INNER if target not in MODULES], "name the module in full")
    assert_none([(m, target) for m, target in INNER if step_of(target) > step_of(m)], "imports go down, this one goes up")
    asking = [m for m, target in IMPORTS if target == VERSION_ONLY and not m.startswith("apps.")]
    assert_none(asking, "only the command line asks the package for its version")


def test_no_cycles() -> None:
    """Modules on one step may import each other, but never in a circle."""
    graph: dict[str, set[str]] = {}
    for module, target in INNER:
        graph.setdefault(module, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
        cycle = []
    except CycleError as error:
        cycle = error.args[1]
    assert_none(cycle, "a circle")


def test_heavy_packages_have_one_room() -> None:
    """Each outside package is imported in its rooms only, so it can be replaced or made optional; no room is left over."""
    outer = [(module, target.split(".")[0]) for module, target in IMPORTS if target.split(".")[0] in ROOMS]
    assert_none([(m, package) for m, package in outer if not is_in(m, ROOMS[package])], "the package has another room")
    used = {(package, room) for module, package in outer for room in ROOMS[package] if is_in(module, (room,))}
    assert_none({(package, room) for package, rooms in ROOMS.items() for room in rooms} - used, "take it off ROOMS")


def lines_of_functions() -> dict[str, int]:
    """Function -> lines of its body: a signature of twenty command-line options is a list, not logic."""
    return {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.body[0].lineno + 1
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_files_and_functions_stay_short() -> None:
    """No file over 400 lines, half of them under 120; no function over 50 but the listed ones, which may only get shorter."""
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert statistics.median(lines.values()) <= MAX_MEDIAN_FILE
    for found, most, listed in ((lines, MAX_FILE, LONG_FILES), (lines_of_functions(), MAX_FUNCTION, LONG_FUNCTIONS)):
        assert_none({name: n for name, n in found.items() if n > listed.get(name, most)}, "split it by noun")
        shorter = {name: found.get(name, 0) for name, n in listed.items() if found.get(name, 0) < n or n <= most}
        assert_none(shorter, "lower the number in the list of long ones, or take it off")


def test_nothing_is_swallowed() -> None:
    """No error of whatever kind is caught and passed over in silence."""
    silent = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(part, ast.Pass | ast.Continue | ast.Expr) for part in node.body)
        and not any(isinstance(part, ast.Call | ast.Raise) for body in node.body for part in ast.walk(body))
    ]
    assert_none(silent, "say it, count it, list it")


def fresh_python(script: str) -> str:
    """What a Python of its own prints."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.process
def test_light_modules_load_nothing_heavy() -> None:
    """What needs no network is importable where torch is not installed: all modules but the few in LOADS_HEAVY."""
    light = [f"headstart.{module}" for module in MODULES if module not in LOADS_HEAVY]
    script = (
        "import importlib, json, sys\n"
        f"found, heavy = {{}}, {HEAVY!r}\n"
        f"for name in {light!r}:\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(name)\n"
        "    loaded = [package for package in heavy if package in sys.modules and package not in before]\n"
        "    found |= {name: loaded} if loaded else {}\n"
        "print(json.dumps(found))\n"
    )
    assert_none(json.loads(fresh_python(script)), "import it inside the function that needs it")


@pytest.mark.process
def test_public_names_are_resolved_on_first_use() -> None:
    """`import headstart` offers every public name without loading its module; a wrong name is an AttributeError."""
    script = (
        "import sys, headstart\n"
        "assert set(headstart.__all__) <= set(dir(headstart))\n"
        "assert 'headstart.settings' not in sys.modules\n"
        "assert headstart.TrainSettings().seed == 0\n"
        "assert 'headstart.settings' in sys.modules\n"
        "for name in headstart.__all__:\n    getattr(headstart, name)\n"
        "try:\n    headstart.Trainer\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    assert fresh_python(script).strip() == "module 'headstart' has no attribute 'Trainer'"


def modules_in_architecture() -> list[str]:
    """The modules that ARCHITECTURE.md names: in a path (`data/images.py`), or beside or below the folder they are in."""
    block = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("src/headstart/\n")[1].split("\ntests/")[0]
    named, folder = [], ""
    for line in block.splitlines():
        if line.strip().startswith("#"):
            continue
        if path := re.match(r"  (?! )((?:\w+/)*)", line):
            folder = path[1]
        named += [name if "/" in name else folder + name for name in re.findall(r"[\w/]+\.py\b", line)]
        if "one module a command" in line:
            named += [f"{folder}{command}.py" for command in COMMANDS]
    return [name.removesuffix(".py").replace("/", ".") for name in named if "__" not in name]


def test_architecture_names_every_module() -> None:
    """ARCHITECTURE.md lists each module once, and none that there is not."""
    named = modules_in_architecture()
    assert_none(set(MODULES) - set(named), "name it in ARCHITECTURE.md")
    assert_none(set(named) - set(MODULES), "there is no such module")
    assert_none({name for name in named if named.count(name) > 1}, "named twice")


def rooms_of(names: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Name -> the modules that hold it, where these are several."""
    found: dict[str, list[str]] = {}
    for module in MODULES:
        for name in names(module):
            found.setdefault(name, []).append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_a_name_means_one_thing() -> None:
    """No two modules and no two public classes have one name; a command's module is named after the command."""
    own = {module for module in MODULES if not module.startswith("apps.commands.")}
    modules = rooms_of(lambda module: [module.split(".")[-1]] if module in own else [])
    classes = rooms_of(
        lambda module: [node.name for node in TREES[module].body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    )
    found = modules | classes
    assert_none({name: where for name, where in found.items() if name not in SAME_NAME}, "two things of one name")
    assert_none(set(SAME_NAME) - set(found), "take it off SAME_NAME")
