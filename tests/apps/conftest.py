"""The command, called in this process (fast) or in one of its own (as users do)."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TINY, SavedRun

from headstart.apps.main import run

# The command where the packages named by its first argument cannot be imported.
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from headstart.apps.main import run
run(sys.argv[2:])
"""


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
    """One sentence and a hint on stderr, nothing on stdout, no traceback, exit code 1."""
    assert result.code == 1, result
    assert result.out == ""
    sentence, hint, *more = result.err.splitlines()
    assert sentence.startswith("error: ") and len(sentence) > len("error: "), result.err
    assert hint.startswith(" hint: ") and len(hint) > len(" hint: "), result.err
    assert more == []
    for word in words:
        assert word in result.err


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
    """Starts the command in a process of its own."""

    def popen(*arguments: object, stdin: int | None = None, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "headstart", *map(str, arguments)],
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

    def call(*arguments: object, **environment: str) -> Result:
        with start(*arguments, **environment) as started:
            out, err = started.communicate(timeout=240)
        return Result(started.returncode, out, err)

    return call


@pytest.fixture(scope="session")
def doubting_run(saved_run: SavedRun, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a target precision and conformal sets."""
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    settings = TrainSettings.of(
        strategy="probe", backbone=TINY, weights=tiny_weights, image_size=64, target_precision=0.97, conformal=0.9, device="cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(saved_run.data.parent / "home"))
        return train(saved_run.data, settings, output=tmp_path_factory.mktemp("doubts") / "run").run


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
