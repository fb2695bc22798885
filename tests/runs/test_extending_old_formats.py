"""Adding to runs that earlier versions wrote."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape

import headstart
from headstart.artifact.bundle import read_bundle
from headstart.artifact.manifest import FORMAT
from headstart.settings import TrainSettings
from runs.conftest import contents

KEPT = Path(__file__).parents[1] / "kept"
NOW = {"workers": 2, "device": "cpu"}
pytestmark = pytest.mark.slow


@pytest.fixture(params=["format-1", "format-2"])
def old_run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a format, in a folder with a run of it, its images and its weights."""
    shutil.copytree(KEPT / request.param / "run", tmp_path / "run")
    shutil.copytree(KEPT / "format-1" / "shapes", tmp_path / "shapes")
    shutil.copy(KEPT / "format-1" / "weights.safetensors", tmp_path)
    monkeypatch.chdir(tmp_path)
    return str(request.param)


@pytest.mark.parametrize("layout", ["grown", "only new"])
def test_old_runs_are_extended(old_run: str, layout: str) -> None:
    """Their images keep their splits, and predictions.csv says where they are; the new run is of today's format."""
    before, was = contents(Path("run")), read_bundle(Path("run")).manifest
    if layout == "grown":
        for split in ("train", "val"):
            _add(Path("shapes") / split)
    else:
        _add(Path("new"))
    data = "shapes" if layout == "grown" else "new"
    trained = headstart.train(data, TrainSettings.of(**NOW), extend="run", output="more", pictures=False)
    assert contents(Path("run")) == before
    now = read_bundle(Path("more")).manifest
    assert (now.format, now.strategy, now.classes) == (FORMAT, was.strategy, (*was.classes[:2], "stars", was.classes[2]))
    assert all(set(was.images[name]) < set(now.images[name]) for name in ("train", "val"))
    assert now.settings.view == was.preprocess.view_name and now.backbone.stages == was.backbone.stages
    assert now.extends is not None and now.extends.images == 36
    report = trained.metrics["extended"]
    assert (report["images"]["kept"], report["images"]["gone"], report["images"]["relabelled"]) == (36, 0, 0)
    assert report["images"]["classes_added"] == ["stars"]
    assert report["compared"]["n"] == 12
    assert report["compared"]["accuracy_before"] == was.evaluation.accuracy if was.evaluation else False


def _add(folder: Path) -> None:
    """Draws circles, and a class that the old runs do not have."""
    rng = np.random.default_rng([1, *folder.as_posix().encode()])
    for label in ("circles", "stars"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(5):
            draw_shape("triangles" if label == "stars" else label, rng).save(folder / label / f"new-{i}.png")
