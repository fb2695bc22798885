"""Runs that are started from the page, and images that are tried."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun
from PIL import Image

from apps.studio.conftest import Studio, studio_of


@pytest.fixture(scope="module")
def studio(saved_run: SavedRun, tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """A studio on images in train and val."""
    project = tmp_path_factory.mktemp("runs") / "project"
    with studio_of(saved_run.data, project, home=home, weights=tiny_weights) as started:
        yield started


def test_a_run(studio: Studio) -> None:
    """A run uses the labels as they are, tells how far it is, and shows its report, in which nothing can be run."""
    assert studio.get("/api/runs") == [] and studio.get("/api/project")["has_val"]
    studio.decide(studio.order(split=["val"], label=[0])[:2], "exclude", excluded=True)
    run = studio.post("/api/runs", {"strategy": "probe", "effort": "quick"}).json()
    assert (run["name"], run["state"], run["accuracy"]) == ("probe-1", "running", None)
    assert studio.post("/api/runs", {"strategy": "probe"}).status_code == 409
    assert studio.client.get("/runs/probe-1/report.html").status_code == 404
    stages = set()

    def ended() -> bool:
        (now,) = studio.get("/api/runs")
        stages.add((now["progress"] or {}).get("stage"))
        return now["state"] != "running"

    studio.until(ended)
    (run,) = studio.get("/api/runs")
    assert (run["state"], run["error"], run["split"], run["progress"]) == ("done", "", "val", None)
    assert 0 < run["accuracy_ci95"][0] <= run["accuracy"] <= 1 and run["n"] == 19
    metrics = json.loads((studio.project / "runs" / "probe-1" / "metrics.json").read_text())
    assert run["n_labelled"] == sum(metrics["images"][split] for split in ("train", "val", "test")) > 0
    assert stages - {None}
    report = studio.client.get("/runs/probe-1/report.html")
    assert report.status_code == 200 and "<html" in report.text
    policy = report.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox;") and "default-src 'none'" in policy and "script-src" not in policy
    manifest = json.loads((studio.project / "runs" / "probe-1" / "model" / "manifest.json").read_text())
    assert "labels" in json.dumps(manifest)


def test_a_run_that_is_cancelled(studio: Studio) -> None:
    """It ends at once and leaves no folder; its number is not given again."""
    run = studio.post("/api/runs", {"strategy": "finetune", "effort": "thorough"}).json()
    assert studio.post(f"/api/runs/{run['id']}/cancel").json()["state"] == "cancelled"
    left = studio.project / "runs"
    studio.until(lambda: not [path for path in left.iterdir() if path.name.startswith("finetune")])
    again = studio.post("/api/runs", {"strategy": "finetune", "effort": "thorough"})
    assert again.status_code == 200 and again.json()["name"] == "finetune-3"
    studio.until(lambda: (left / "finetune-3.partial").exists())
    studio.post("/api/runs/finetune-3/cancel")
    studio.until(lambda: not [path for path in left.iterdir() if path.name.startswith("finetune")])
    assert [one["state"] for one in studio.get("/api/runs")] == ["cancelled", "cancelled", "done"]
    assert studio.post("/api/runs/probe-1/cancel").json()["state"] == "done"
    assert studio.post("/api/runs/probe-9/cancel").status_code == 404


@pytest.mark.parametrize("wish", [{"strategy": "magic"}, {"output": "/tmp"}, {"time_budget": -1}, {"time_budget": "inf"}, []])
def test_wrong_wishes(studio: Studio, wish: object) -> None:
    """A run has the settings that the page offers, and no others."""
    answer = studio.post("/api/runs", wish)
    assert answer.status_code == 422 and answer.json()["hint"]


def test_a_run_that_fails(studio: Studio) -> None:
    """Why it failed is told in a sentence with a hint."""
    studio.post("/api/decisions", {"order": {}, "label": None, "why": "relabel", "expected": studio.last})
    name = studio.post("/api/runs", {"strategy": "probe", "effort": "quick"}).json()["name"]
    studio.until(lambda: studio.get("/api/runs")[0]["state"] != "running")
    run = studio.get("/api/runs")[0]
    assert (run["name"], run["state"]) == (name, "failed")
    assert "label" in run["error"] and run["hint"]
    studio.post("/api/undo")


def test_an_image_that_is_tried(studio: Studio, saved_run: SavedRun) -> None:
    """The answer comes with probabilities and the nearest images of the most probable classes."""
    studio.await_model()
    data = (saved_run.data / "val" / "squares" / "squares 0.png").read_bytes()
    found = studio.client.post("/api/try", content=data).json()
    classes = studio.get("/api/project")["classes"]
    assert classes[found["predicted"]] == "squares"
    assert sum(found["probabilities"]) == pytest.approx(1) and found["probability"] == max(found["probabilities"])
    assert found["unfamiliar"] is False
    stranger = io.BytesIO()
    Image.new("RGB", (64, 64), (255, 0, 255)).save(stranger, "PNG")
    assert studio.client.post("/api/try", content=stranger.getvalue()).json()["unfamiliar"] is True
    labels = studio.column("label")
    for near in found["nearest"]:
        assert {labels[row] for row in near["rows"]} <= {near["class"]}
    for wrong in (b"", b"no image", data[:40]):
        answer = studio.client.post("/api/try", content=wrong)
        assert answer.status_code == 422 and answer.json()["hint"]
    assert studio.client.post("/api/try", content=b" " * 33_000_000).status_code == 413


def test_where_an_answer_comes_from(studio: Studio) -> None:
    """Of a row the class that is shown is explained, of another image the most probable one; the map covers the picture."""
    studio.await_model()
    row = studio.row(3)
    found = studio.post("/api/explain", {"row": 3}).json()
    assert (
        found["class"] == studio.get("/api/project")["classes"][row["predicted"]] and repr(found["class"]) in found["sentence"]
    )
    assert np.array(found["map"]).shape == (28, 28) and np.array(found["map"]).any()
    data = studio.client.get(f"/images/{row['digest']}").content
    other = studio.client.post("/api/explain", content=data).json()
    assert np.array(other["map"]).any() and other["class"] in studio.get("/api/project")["classes"]
    for answer in (studio.post("/api/explain", {"row": 99}), studio.post("/api/explain", {"file": "/etc/passwd"})):
        assert answer.status_code == 422 and answer.json()["hint"]
