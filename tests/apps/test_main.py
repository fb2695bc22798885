"""The `headstart` command itself: quick to answer, and clear where it is used wrongly."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as package
from apps.conftest import Result
from headstart.apps.main import COMMANDS

HEAVY = ("torch", "torchvision", "timm", "numpy", "pydantic", "sklearn", "pyarrow", "matplotlib", "PIL", "rich", "jinja2")


def loaded_by(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and the heavy packages that a fresh process has loaded when the command ends."""
    code = f"""
import json, sys
from headstart.apps.main import run
try:
    run({list(arguments)!r})
except SystemExit as ended:
    print("\\n" + json.dumps([ended.code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    exit_code, modules = json.loads(done.stdout.splitlines()[-1])
    return exit_code or 0, modules


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["--no-such-option"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """`headstart --help`, `--version` and a mistyped option load no torch, no numpy, no pydantic."""
    assert loaded_by(*arguments)[1] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_no_torch(name: str) -> None:
    """`headstart COMMAND --help` loads neither torch nor any other package of training."""
    code, modules = loaded_by(name, "--help")
    assert code == 0
    assert not set(modules) & {"torch", "torchvision", "timm", "sklearn", "matplotlib", "pyarrow", "jinja2"}


def test_help_takes_less_than_a_second() -> None:
    """`headstart --help` answers within a second; the fastest of three counts, for others compute beside this test."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "headstart", "--help"], capture_output=True, timeout=60, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 1


def test_importing_headstart_loads_nothing_heavy() -> None:
    """`import headstart` loads no torch and no numpy."""
    code = f"import headstart, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


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


def test_it_runs_as_a_module_and_as_a_script() -> None:
    """`python -m headstart` and `headstart` are the same command."""
    script = Path(sys.executable).with_name("headstart")
    printed = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        for command in ([sys.executable, "-m", "headstart"], [str(script)])
    ]
    assert printed[0] == printed[1] == f"headstart {package.__version__}\n"
