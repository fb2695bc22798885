"""`headstart compare` from the command line: its table, --json and --output."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY

from apps.conftest import Result, assert_explained

Command = Callable[..., Result]
Draw = Callable[..., Path]
CONTENDER = {
    "strategy",
    "backbone",
    "accuracy",
    "accuracy_ci95",
    "difference",
    "difference_ci95",
    "seconds",
    "size_mb",
    "ms_per_image",
}


@pytest.fixture
def compare(process: Command, tiny_weights: Path, tmp_path: Path) -> Command:
    """The command on a tiny backbone, whose weights lie in Hugging Face's cache as its client lays them out."""
    repo = tmp_path / "huggingface" / "hub" / "models--timm--test_resnet.r160_in1k"
    for folder in ("refs", "snapshots/0123"):
        (repo / folder).mkdir(parents=True)
    (repo / "refs" / "main").write_text("0123")
    shutil.copy(tiny_weights, repo / "snapshots" / "0123" / "model.safetensors")

    def call(*arguments: object) -> Result:
        common = ("--backbones", TINY, "--image-size", 48, "--device", "cpu", "--offline", "--epochs", 1, "--folds", 2)
        return process("compare", *arguments, *common, HF_HOME=str(tmp_path / "huggingface"))

    return call


def test_the_figures_as_json(compare: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """--json prints one object, --output writes the same one; every contender has its figures, the first no difference."""
    data = draw_classes({"circles": 8, "squares": 8})
    (data / "circles" / "notes.jpg").write_text("no image")
    result = compare(data, "--json", "--output", tmp_path / "compared.json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    assert json.loads((tmp_path / "compared.json").read_text(encoding="utf-8")) == found
    assert (found["format"], found["n"], found["folds"], found["skipped"]) == (1, 16, 2, 1)
    assert [(each["strategy"], each["backbone"]) for each in found["contenders"]] == [("probe", TINY), ("finetune", TINY)]
    for contender in found["contenders"]:
        assert set(contender) == CONTENDER
        low, high = contender["accuracy_ci95"]
        assert 0 <= low <= contender["accuracy"] <= high <= 1
    probe, finetune = found["contenders"]
    assert probe["difference"] is probe["difference_ci95"] is None
    assert finetune["difference"] == pytest.approx(finetune["accuracy"] - probe["accuracy"])
    assert len(found["sentences"]) == 1
    assert "notes.jpg" in result.err


def test_the_table(compare: Command, draw_classes: Draw, tmp_path: Path) -> None:
    """Without --json there is a line for each contender; --quiet leaves notes out, and --output writes the object still."""
    data = draw_classes({"circles": 6, "squares": 6})
    result = compare(data, "--strategies", "probe", "--output", tmp_path / "compared.json", "--quiet")
    assert (result.code, result.err) == (0, "")
    first, header, line = result.out.splitlines()
    assert "12 images" in first and "2 folds" in first
    assert "accuracy" in header
    assert line.strip().startswith(f"probe {TINY}")
    (contender,) = json.loads((tmp_path / "compared.json").read_text(encoding="utf-8"))["contenders"]
    assert f"{contender['accuracy']:.1%}  too few images" in line  # of 12 images an interval would promise too much


def test_the_table_of_numbers(compare: Command, draw_classes: Draw) -> None:
    """The mean absolute error with R2, and nothing of accuracy; the same number in the object."""
    data = draw_classes({"circles": 20, "squares": 20})
    for name, number in (("circles", "1.5"), ("squares", "4")):
        (data / name).rename(data / number)
    given = (data, "--task", "regression", "--strategies", "probe,finetune")
    first, header, *lines = compare(*given).out.splitlines()
    assert "40 images" in first and "each answered once in 2 folds" in first
    assert "error" in header and "R2" in header and "accuracy" not in header
    contenders = json.loads(compare(*given, "--json", "--quiet").out)["contenders"]
    for line, contender in zip(lines, contenders, strict=False):
        assert line.split()[2] == f"{contender['numbers']['mean_absolute_error']:.4g}"
        assert f"{contender['numbers']['r2']:.3f}" in line
    assert f"{contenders[1]['difference']:+.3g} [" in lines[1]


def test_what_is_refused(headstart: Command, draw_classes: Draw, here: Path) -> None:
    """An output that is a folder or one of the inputs, and a strategy that does not exist; nothing is written."""
    data = draw_classes({"circles": 6, "squares": 6})
    (here / "table.csv").write_text("path,label\n")
    assert_explained(headstart("compare", data, "--output", here), "is a folder")
    assert_explained(headstart("compare", here / "table.csv", "--output", here / "table.csv"), "input images or tables")
    assert_explained(headstart("compare", data, "--strategies", "probe,bagging", "--output", here / "x.json"), "bagging")
    assert [path.name for path in here.iterdir()] == ["table.csv"]
