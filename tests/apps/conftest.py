"""The command, called in this process (fast) or in one of its own (as users do)."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_SECONDS, SIGNALS_ITSELF, TINY, MakeOnce, SavedRun, home_of

from headstart.apps.main import run

# The command where the packages named by its first argument are not found, as if they were not installed.
WITHOUT = """
import sys
from importlib.machinery import PathFinder
hidden = sys.argv[1].split(",")
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from headstart.apps.main import run
run(sys.argv[2:])
"""


CLASSES_FOUND = re.compile(r"note: [\d,]+ class(es)? in ")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Every path below a folder with the digest of its bytes and the time of its last change."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def assert_explained(result: Result, *words: str) -> None:
    """One sentence and a hint on stderr, after a note on the classes found at most; nothing on stdout, exit code 1."""
    assert result.code == 1, result
    assert result.out == ""
    sentence, hint, *more = [line for line in result.err.splitlines() if not CLASSES_FOUND.match(line)]
    assert sentence.startswith("error: ") and len(sentence) > len("error: "), result.err
    assert hint.startswith(" hint: ") and len(hint) > len(" hint: "), result.err
    assert more == []
    for word in words:
        assert word in result.err


@pytest.fixture
def without() -> Callable[..., Result]:
    """Runs the command in a process of its own in which some packages cannot be imported."""

    def call(packages: str, *arguments: object) -> Result:
        command = [sys.executable, "-c", WITHOUT, packages, *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", env=os.environ)
        return Result(ran.returncode, ran.stdout, ran.stderr)

    return call


@pytest.fixture
def headstart(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Calls the command line in this process: headstart("train", folder, "--json")."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)

    return call


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the command in a process of its own; `python` is how Python is told to run it."""

    def popen(
        *arguments: object, stdin: int | None = None, python: Sequence[str] = ("-m", "headstart"), **environment: str
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *python, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return popen


@pytest.fixture
def process(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Result]:
    """Runs the command in a process of its own to its end."""

    def call(*arguments: object, **options: Any) -> Result:
        with start(*arguments, **options) as started:
            out, err = started.communicate(timeout=PATIENCE_SECONDS)
        return Result(started.returncode, out, err)

    return call


@pytest.fixture
def signalled(process: Callable[..., Result]) -> Callable[..., Result]:
    """Runs the command in a process that sends itself a signal: signalled("SIGINT", "open", "7.png", 1, "train", folder)."""

    def call(signal: str, event: str, word: object, count: int, *arguments: object) -> Result:
        return process(*arguments, python=("-c", SIGNALS_ITSELF, signal, event, str(word), str(count)))

    return call


@pytest.fixture(scope="session")
def doubting_run(made_once: MakeOnce, saved_run: SavedRun, tiny_weights: Path, compiled_forms: Path) -> Path:
    """A run with a target precision and conformal sets."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    settings = TrainSettings.of(
        strategy="probe",
        backbone=TINY,
        weights=tiny_weights,
        image_size=64,
        view="crop",
        stages=False,
        target_precision=0.97,
        conformal=0.9,
        device="cpu",
    )

    def make(folder: Path) -> None:
        with home_of(folder / "home", compiled_forms):
            train(saved_run.data, settings, output=folder / "run")

    return made_once("doubts", make) / "run"


@pytest.fixture
def own_run(saved_run: SavedRun, tmp_path: Path) -> Path:
    """A copy of the saved run, to be changed."""
    return Path(shutil.copytree(saved_run.run, tmp_path / "own run"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def quick(headstart: Callable[..., Result], tiny_weights: Path) -> Callable[..., Result]:
    """Trains the smallest network in this process: a second or less."""
    return lambda *arguments: headstart("train", *arguments, "--backbone", TINY, "--weights", tiny_weights)
