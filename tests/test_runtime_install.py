"""A machine that only predicts: a fresh environment with extra `runtime` alone is small, quick, and answers the same."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from apps.conftest import Result
from conftest import MakeOnce, draw_shape, home_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
MAX_MB, MAX_MODULES = 250, 900  # modules: what makes the first answer slow is loading; seconds depend on the machine


@pytest.fixture(scope="module")
def environment(made_once: MakeOnce) -> Path:
    """A new virtual environment into which a wheel of the checkout was installed with extra `runtime`, and nothing else."""

    def make(folder: Path) -> None:
        _pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
        (wheel,) = folder.glob("headstart-*.whl")
        venv.create(folder / "venv", with_pip=True)
        _pip(_python(folder / "venv"), "install", f"{wheel}[runtime]")

    return made_once("runtime", make) / "venv"


@pytest.fixture
def runtime(environment: Path, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command of that environment, with a home that nothing was compiled in."""

    def call(*arguments: object, **settings: str) -> Result:
        command = [_python(environment), "-m", "headstart", *map(str, arguments)]
        settings = os.environ | {"HEADSTART_HOME": str(tmp_path / "an empty home")} | settings
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, env=settings)
        return Result(ran.returncode, ran.stdout, ran.stderr)

    return call


@pytest.fixture(scope="module")
def trained(made_once: MakeOnce, compiled_forms: Path) -> Path:
    """A folder with images/, a run on the default backbone in run/, and its export in export/."""
    from headstart.artifact.export import export_model
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    def make(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for label in ("circles", "squares"):
            (folder / "images" / label).mkdir(parents=True)
            for i in range(16):
                draw_shape(label, rng, (640, 480)).save(folder / "images" / label / f"{i}.jpg")
        with home_of(folder / "home", compiled_forms):
            train(folder / "images", TrainSettings.of(strategy="probe", seed=0), output=folder / "run")
            export_model(folder / "run", folder / "export")

    return made_once("trained on the default backbone", make)


def test_it_is_small(environment: Path) -> None:
    """Everything in site-packages, pip itself included, is 250 MB at most: no torch, no scikit-learn, no pyarrow."""
    (packages,) = environment.rglob("site-packages")
    assert sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6 <= MAX_MB
    names = {path.name for path in packages.iterdir()}
    assert names.isdisjoint({"torch", "torchvision", "timm", "sklearn", "scipy", "pyarrow", "matplotlib", "jinja2", "onnx"})


def test_it_answers_the_same_at_once(runtime: Callable[..., Result], trained: Path) -> None:
    """A process that has just been started loads little before it answers, and answers as the original within 1e-4."""
    from headstart.artifact.predictor import Predictor

    image = trained / "images" / "squares" / "3.jpg"
    result = runtime("predict", trained / "export", image, PYTHONPROFILEIMPORTTIME="1")
    assert result.code == 0
    assert result.err.count("import time:") < MAX_MODULES
    assert all(line.startswith("import time:") for line in result.err.splitlines())
    files = sorted((trained / "images").glob("*/*.jpg"))
    result = runtime("predict", trained / "export", trained / "images", "--format", "jsonl")
    found = {Path(row["path"]): row for row in map(json.loads, result.out.splitlines())}
    for answer in Predictor.load(trained / "run").predict(files):
        row = found.pop(Path(answer.path))
        assert list(row["probabilities"].values()) == pytest.approx(answer.probabilities, abs=1e-4)
        assert (row["predicted"], row["unfamiliar"]) == (answer.predicted, answer.unfamiliar)
    assert found == {}
    assert runtime("verify", trained / "export").code == 0


@pytest.mark.parametrize("command", ["train", "serve"])
def test_what_is_missing_is_one_sentence(runtime: Callable[..., Result], trained: Path, command: str) -> None:
    """What needs more packages says which extra brings them, without a traceback."""
    result = runtime(command, trained / {"train": "images", "serve": "export"}[command])
    sentence, hint = result.err.splitlines()
    assert result.code == 1 and result.out == ""
    assert sentence.startswith("error: ") and "not installed" in sentence
    assert hint == f" hint: pip install 'headstart[{command}]'"


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _pip(python: Path, *arguments: object) -> None:
    ran = subprocess.run([python, "-m", "pip", *map(str, arguments)], capture_output=True, encoding="utf-8")
    assert ran.returncode == 0, ran.stdout + ran.stderr
