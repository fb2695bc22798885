"""The `headstart` command itself: quick to answer, and clear where it is used wrongly."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as package
from apps.conftest import Result
from headstart.apps.main import COMMANDS

HEAVY = ("torch", "torchvision", "timm", "numpy", "pydantic", "sklearn", "pyarrow", "matplotlib", "PIL", "rich", "jinja2")


MOST_MODULES = 600  # that `headstart --help` may load, all of them small; counted, for seconds depend on the machine


def loaded_by(*commands: list[str]) -> dict[str, tuple[int, list[str], int]]:
    """What a fresh process has loaded after each command: exit code, heavy packages, number of modules."""
    code = f"""
import json, sys
import headstart
found = {{}}
def note(name, code):
    found[name] = code or 0, [package for package in {HEAVY!r} if package in sys.modules], len(sys.modules)
note("import headstart", 0)
from headstart.apps.main import run
for arguments in {list(commands)!r}:
    try:
        run(arguments)
    except SystemExit as ended:
        note(" ".join(arguments), ended.code)
print("\\n" + json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, tuple[int, list[str], int]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.process
def test_help_loads_nothing_heavy() -> None:
    """`import headstart`, `headstart --help`, `--version` and a mistyped option load no torch, numpy or pydantic."""
    found = loaded_by(["--help"], ["-h"], ["--version"], ["--no-such-option"])
    assert {name: (code, heavy) for name, (code, heavy, _) in found.items()} == {
        "import headstart": (0, []),
        "--help": (0, []),
        "-h": (0, []),
        "--version": (0, []),
        "--no-such-option": (2, []),
    }
    assert max(n_modules for *_, n_modules in found.values()) < MOST_MODULES


@pytest.mark.process
def test_help_of_a_command_loads_no_torch() -> None:
    """`headstart COMMAND --help` loads neither torch nor any other package of training."""
    found = loaded_by(*([name, "--help"] for name in COMMANDS))
    assert len(found) == 1 + len(COMMANDS)
    for name, (code, heavy, _) in found.items():
        assert code == 0, name
        assert not set(heavy) & {"torch", "torchvision", "timm", "sklearn", "matplotlib", "pyarrow", "jinja2"}, name


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(headstart: Callable[..., Result], flag: str) -> None:
    """The help lists every command, and says what to start with."""
    result = headstart(flag)
    assert (result.code, result.err) == (0, "")
    for name in COMMANDS:
        assert f"  {name} " in result.out
    assert "headstart demo" in result.out


def test_help_cuts_no_summary_off(headstart: Callable[..., Result]) -> None:
    """Each command's summary fits on its line."""
    assert "..." not in headstart("--help").out.split("Commands:")[1].split("Start with")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(headstart: Callable[..., Result], name: str) -> None:
    """`headstart COMMAND --help` shows its usage and an example."""
    result = headstart(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"Usage: headstart {name}" in result.out
    assert f"headstart {name}" in result.out.split("Example")[1]


def test_version(headstart: Callable[..., Result]) -> None:
    """`headstart --version` prints the version of the package, on stdout, and nothing else."""
    assert headstart("--version") == Result(0, f"headstart {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fly"], "fly"),
        (["--no-such-option"], "--no-such-option"),
        (["train", "data", "--no-such-option"], "--no-such-option"),
        (["train", "data", "more"], "more"),
        (["train", "data", "--strategy", "guess"], "guess"),
        (["train", "data", "--epochs", "many"], "--epochs"),
        (["train", "data", "--seed"], "--seed"),
        (["predict"], "MODEL"),
        (["predict", "model"], "PATH"),
        (["predict", "model", "a.jpg", "--format", "xml"], "xml"),
        (["predict", "model", "a.jpg", "--top-k", "0"], "--top-k"),
        (["evaluate", "model"], "DATA"),
        (["evaluate", "model", "data", "--split", "train"], "train"),
        (["preview"], "DATA"),
        (["preview", "data", "--images", "0"], "--images"),
        (["preview", "data", "--augment", "strong"], "strong"),
    ],
)
def test_usage(headstart: Callable[..., Result], arguments: list[str], word: str) -> None:
    """A command that is typed wrongly ends with 2, names what is wrong on stderr and prints nothing on stdout."""
    result = headstart(*arguments)
    assert (result.code, result.out) == (2, "")
    assert word in result.err
    assert "Traceback" not in result.err


def test_no_arguments(headstart: Callable[..., Result]) -> None:
    """`headstart` alone shows the help, not an error."""
    result = headstart()
    assert "Usage: headstart" in result.out + result.err
    assert "demo" in result.out + result.err


@pytest.mark.process
def test_it_runs_as_a_module_and_as_a_script() -> None:
    """`python -m headstart` and `headstart` are the same command."""
    script = Path(sys.executable).with_name("headstart")
    printed = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "headstart"], [str(script)])
    ]
    assert printed[0] == printed[1] == f"headstart {package.__version__}\n"
