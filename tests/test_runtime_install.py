"""A machine that only predicts: a fresh environment with extra `runtime` alone is small, quick, and answers the same."""

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from apps.conftest import Result
from conftest import draw_shape, lend_compiled_forms

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
MAX_MB, MAX_SECONDS = 250, 1.0
ATTEMPTS = 5  # the quickest counts: others compute on the same machine


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment into which a wheel of the checkout was installed with extra `runtime`, and nothing else."""
    folder = tmp_path_factory.mktemp("runtime")
    _pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("headstart-*.whl")
    venv.create(folder / "venv", with_pip=True)
    _pip(_python(folder / "venv"), "install", f"{wheel}[runtime]")
    return folder / "venv"


@pytest.fixture
def runtime(environment: Path, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command of that environment, with a home that nothing was compiled in."""

    def call(*arguments: object) -> Result:
        command = [_python(environment), "-m", "headstart", *map(str, arguments)]
        settings = os.environ | {"HEADSTART_HOME": str(tmp_path / "an empty home")}
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, env=settings)
        return Result(ran.returncode, ran.stdout, ran.stderr)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, compiled_forms: Path) -> Path:
    """A folder with images/, a run on the default backbone in run/, and its export in export/."""
    from headstart.artifact.export import export_model
    from headstart.runs.training import train
    from headstart.settings import TrainSettings

    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    for label in ("circles", "squares"):
        (folder / "images" / label).mkdir(parents=True)
        for i in range(16):
            draw_shape(label, rng, (640, 480)).save(folder / "images" / label / f"{i}.jpg")
    (folder / "home").mkdir()
    lend_compiled_forms(folder / "home", compiled_forms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(folder / "home"))
        train(folder / "images", TrainSettings.of(strategy="probe", seed=0), output=folder / "run")
        export_model(folder / "run", folder / "export")
    return folder


def test_it_is_small(environment: Path) -> None:
    """Everything in site-packages, pip itself included, is 250 MB at most: no torch, no scikit-learn, no pyarrow."""
    (packages,) = environment.rglob("site-packages")
    assert sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6 <= MAX_MB
    names = {path.name for path in packages.iterdir()}
    assert names.isdisjoint({"torch", "torchvision", "timm", "sklearn", "scipy", "pyarrow", "matplotlib", "jinja2", "onnx"})


def test_it_answers_the_same_at_once(runtime: Callable[..., Result], trained: Path) -> None:
    """A process that has just been started answers an image within a second, as the original does within 1e-4."""
    from headstart.artifact.predictor import Predictor

    image, seconds = trained / "images" / "squares" / "3.jpg", []
    for _ in range(ATTEMPTS):
        began = time.perf_counter()
        result = runtime("predict", trained / "export", image)
        seconds.append(time.perf_counter() - began)
        assert (result.code, result.err) == (0, "")
    assert min(seconds) <= MAX_SECONDS, seconds
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
