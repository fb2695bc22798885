"""`headstart demo`: the main job on a data set that is at hand, and what to type next."""

import json
import shlex
import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]


@pytest.fixture
def hymenoptera(draw_classes: Draw) -> Path:
    """A folder with a train and a val split, that stands for the user's own copy of the ants and bees."""
    draw_classes({"circles": 8, "squares": 8}, "my ants & bees/train")
    return draw_classes({"circles": 5, "squares": 5}, "my ants & bees/val").parent


def told(out: str) -> dict[str, str]:
    """What the demo says, line by line: data, report, grid, model, next."""
    return {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in out.splitlines() if " " in line}


def assert_done(result: Result, headstart: Command, here: Path) -> None:
    """The demo ended well, all that it names is there, and the next command that it prints works as it stands."""
    assert result.code == 0, result
    lines = told(result.out)
    assert (here / lines["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (here / lines["model"] / "manifest.json").is_file()
    with Image.open(here / lines["grid"]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200
    program, *arguments = shlex.split(lines["next"])
    assert program == "headstart"
    following = headstart(*arguments)
    assert following.code == 0
    assert following.out.count("\n") >= 1
    assert "cannot be read" not in following.out


@pytest.mark.slow
@pytest.mark.parametrize(("form", "output"), [("folder", []), ("zip", ["--output", "it's my demo"])], ids=["folder", "zip"])
def test_the_copy_at_hand(
    headstart: Command, hymenoptera: Path, here: Path, monkeypatch: pytest.MonkeyPatch, form: str, output: list[str]
) -> None:
    """With HEADSTART_HYMENOPTERA the demo takes that copy, folder or zip, and leaves it as it is.

    --output may hold spaces and quotes; the command to type next is quoted for the shell.
    """
    copy = hymenoptera
    if form == "zip":
        copy = here / "ants & bees.zip"
        with zipfile.ZipFile(copy, "w") as archive:
            for file in sorted(hymenoptera.rglob("*.png")):
                archive.write(file, Path("hymenoptera_data", file.relative_to(hymenoptera)))
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(copy))
    before, zipped = snapshot(hymenoptera), copy.read_bytes() if form == "zip" else b""
    result = headstart("demo", *output)
    assert [path.name for path in here.iterdir() if path.is_dir()] == (output[1:] or ["runs"])
    assert told(result.out)["data"].startswith("hymenoptera: ants and bees")
    assert "of 10 validation images are classified correctly" in result.out
    assert_done(result, headstart, here)
    assert snapshot(hymenoptera) == before
    assert (copy.read_bytes() if form == "zip" else b"") == zipped


def test_a_copy_that_is_not_there(headstart: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEADSTART_HYMENOPTERA that names nothing is an error, not a silent change to another data set."""
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(here / "nowhere"))
    assert_explained(headstart("demo"), "HEADSTART_HYMENOPTERA", "nowhere")


@pytest.fixture
def fewer_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package elpv-dataset with every sixth of its 2,624 photographs."""
    found = find_spec("elpv_dataset")
    if found is None or found.origin is None:
        pytest.skip("the extra demo is not installed")
    data, package = Path(found.origin).parent / "data", tmp_path / "packages" / "elpv_dataset"
    lines = (data / "labels.csv").read_text(encoding="utf-8").splitlines()[::6]
    (package / "data" / "images").mkdir(parents=True)
    for line in lines:
        shutil.copy(data / line.split()[0], package / "data" / line.split()[0])
    (package / "data" / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_cells")
def test_offline_on_solar_cells(headstart: Command, here: Path) -> None:
    """Without a network and without the ants and bees, the demo says so, takes the installed solar cells and ends well."""
    result = headstart("demo", "--offline")
    first = result.out.splitlines()[0]
    assert "hymenoptera is not on this machine (offline)" in first
    assert "elpv" in first
    assert_done(result, headstart, here)
    metrics = json.loads((here / "runs" / "elpv-probe-1" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["classes"] == ["defective", "functional"]
    assert metrics["evaluation"]["accuracy"] > 0.75  # calling every cell functional gives 0.69
