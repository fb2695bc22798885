"""The package is a staircase: a module imports its own step or a lower one, never a higher one."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "headstart"

STEPS = [  # lowest first
    {"errors", "settings", "storage", "recipes", "progress", "machine", "download", "threads", "locks"},
    {"data"},
    {"evaluation"},
    {"model"},
    {"audit"},
    {"fitting"},
    {"artifact"},
    {"record"},
    {"runs"},
    {"apps"},
]
ROOMS = {  # outside package -> the only modules that may import it
    "cleanlab": ("audit.labels",),
    "fastapi": ("apps.serving.",),
    "prometheus_client": ("apps.serving.counters",),
    "starlette": ("apps.serving.",),
    "uvicorn": ("apps.serving.server",),
    "PIL": ("data.images", "data.facts", "data.odd_images", "data.preprocess", "data.pixels"),
    "huggingface_hub": ("model.weights",),
    "jinja2": ("artifact.page",),
    "matplotlib": ("artifact.figures",),
    "onnxruntime": ("model.engines", "model.exported"),
    "openvino": ("model.engines", "model.exported"),
    "psutil": ("machine",),
    "pyarrow": ("data.tables", "model.feature_store", "artifact.feature_file", "apps.answers.parquet"),
    "pydantic": ("settings", "artifact.bundle", "apps.serving.application"),
    "rich": ("apps.",),
    "safetensors": ("model.backbones", "model.checkpoint", "model.exported", "model.familiarity", "model.frozen"),
    "sklearn": ("data.splits", "evaluation.", "audit.shortcuts", "runs.classifier"),
    "timm": ("model.backbones",),
    "torch": (
        "model.backbones",
        "model.augmentation",
        "model.finetune",
        "model.checkpoint",
        "model.distributed",
        "model.folding",
    ),
    "torchvision": ("model.backbones", "model.augmentation"),
    "typer": ("apps.",),
}
HEAVY = {"torch", "torchvision", "timm"}
LIGHT = [  # modules that must be importable without what HEAVY names
    "headstart",
    *(f"headstart.data.{path.stem}" for path in sorted((ROOT / "data").glob("[a-z]*.py"))),
    *(f"headstart.evaluation.{path.stem}" for path in sorted((ROOT / "evaluation").glob("[a-z]*.py"))),
    *(
        f"headstart.model.{name}"
        for name in (
            "specs",
            "weights",
            "features",
            "digest_index",
            "feature_store",
            "compiled",
            "engines",
            "frozen",
            "probe",
            "head",
            "history",
            "softmax_regression",
        )
    ),
    *(f"headstart.audit.{path.stem}" for path in sorted((ROOT / "audit").glob("[a-z]*.py"))),
    "headstart.artifact.bundle",
    "headstart.artifact.predictor",
    "headstart.runs.training",
    "headstart.runs.classifier",
    "headstart.apps.main",
    *(f"headstart.apps.commands.{path.stem}" for path in sorted((ROOT / "apps" / "commands").glob("[a-z]*.py"))),
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if not path.name.startswith("__")}


def all_imports() -> list[tuple[str, str]]:
    """(module, what it imports) for every import statement, also those inside functions."""
    found = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.append((module, "." * node.level + (node.module or "")))
            elif isinstance(node, ast.Import):
                found.extend((module, alias.name) for alias in node.names)
    return found


IMPORTS = all_imports()
VERSION_ONLY = "headstart"  # `from headstart import __version__`
INNER = sorted({(m, t) for m, t in IMPORTS if t.split(".")[0] in ("headstart", "") and t != VERSION_ONLY})
OUTER = sorted({(m, t) for m, t in IMPORTS if t.split(".")[0] in ROOMS})


def step_of(module: str) -> int:
    top = module.split(".")[0]
    steps = [i for i, names in enumerate(STEPS) if top in names]
    assert steps, f"{top} has no step: give it one in STEPS"
    return steps[0]


def test_the_house_is_found() -> None:
    """The guard looks at real modules, wherever the tests are started from."""
    assert len(MODULES) > 40
    assert len(INNER) > 100
    assert {package for _, target in OUTER for package in [target.split(".")[0]]} == set(ROOMS)


@pytest.mark.parametrize(("module", "target"), INNER)
def test_imports_only_go_down(module: str, target: str) -> None:
    """Inner imports name a module in full (`from headstart.data.dataset import Dataset`) and go down."""
    inner = target.removeprefix("headstart.")
    assert inner in MODULES, f"name the module in full, not {target!r}"
    assert step_of(inner) <= step_of(module), f"{module} must not import {target}"


def test_the_package_itself_is_imported_by_apps_alone() -> None:
    """`from headstart import ...` gives the version to the command line; inside the house modules are named in full."""
    assert {module.split(".")[0] for module, target in IMPORTS if target == VERSION_ONLY} <= {"apps"}


def test_no_cycles() -> None:
    """Modules on one step may import each other, but never in a circle."""
    graph: dict[str, set[str]] = {}
    for module, target in INNER:
        graph.setdefault(module, set()).add(target.removeprefix("headstart."))
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # raises CycleError


@pytest.mark.parametrize(("module", "target"), OUTER)
def test_heavy_packages_have_one_room(module: str, target: str) -> None:
    """Each outside package is imported in one place only, so it can be replaced or made optional."""
    rooms = ROOMS[target.split(".")[0]]
    assert any(module == room or (room.endswith(".") and module.startswith(room)) for room in rooms), (
        f"{target} does not belong in {module}"
    )


@pytest.mark.parametrize("module", MODULES)
def test_files_stay_readable(module: str) -> None:
    """No file grows past 400 lines and no function's body past 60: what is longer wants splitting by noun."""
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    # The body counts: a signature of twenty command-line options is a list, not logic. What nears 50 wants a look.
    long = {f.name: f.end_lineno - f.body[0].lineno + 1 for f in functions if f.end_lineno - f.body[0].lineno >= 60}  # type: ignore[operator]
    assert long == {}


@pytest.fixture(scope="module")
def heavy_after_import() -> dict[str, list[str]]:
    """Module -> the heavy packages that importing it, after those before it in LIGHT, has loaded."""
    script = (
        "import importlib, json, sys\n"
        f"found, heavy = {{}}, {sorted(HEAVY)!r}\n"
        f"for name in {LIGHT!r}:\n"
        "    before = set(sys.modules)\n"
        "    importlib.import_module(name)\n"
        "    found[name] = [package for package in heavy if package in set(sys.modules) - before]\n"
        "print(json.dumps(found))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_nothing_heavy(module: str, heavy_after_import: dict[str, list[str]]) -> None:
    """What needs no network is importable in an instant, and where torch is not installed."""
    assert heavy_after_import[module] == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_command_answers_without_heavy_packages(argument: str) -> None:
    """`headstart --help` and `--version` are printed without loading torch, timm, scikit-learn or matplotlib."""
    script = (
        "import sys\n"
        "from headstart.apps.main import run\n"
        f"try:\n    run([{argument!r}])\n"
        "except SystemExit as end:\n"
        "    loaded = [p for p in ('torch', 'timm', 'sklearn', 'matplotlib', 'pyarrow') if p in sys.modules]\n"
        "    print('LOADED', loaded, 'EXIT', end.code)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "LOADED [] EXIT 0"
    assert "headstart" in ran.stdout


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
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "module 'headstart' has no attribute 'Trainer'"
