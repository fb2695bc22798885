"""Stacks and videos in the studio: what --channels and --every choose is what is shown, labelled and trained on."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape
from PIL import Image

from apps.studio.conftest import Studio, studio_of
from headstart.data.encoding import encode_thumbnail
from headstart.data.images import decode
from headstart.data.label_log import LabelLog
from headstart.model.thumbnails import SIDES_PX

tifffile = pytest.importorskip("tifffile")

pytestmark = pytest.mark.process
CLASSES = ("circles", "squares")
FIVE = "c=0,1,2,3,4"


@contextmanager
def opened_studio(tmp_path: Path, home: Path, weights: Path, *options: str) -> Iterator[Studio]:
    """A studio whose images are all read; what it shows first may be the page of images that are being listed."""
    with studio_of(
        tmp_path / "data", tmp_path / "project", home=home, weights=weights, scanned=False, options=options
    ) as studio:
        studio.until(lambda: studio.client.get("/api/project").status_code == 200)
        studio.until(lambda: not studio.get("/api/project")["scanning"])
        yield studio


def ended_run(studio: Studio) -> dict[str, object]:
    """The manifest of a probe that the page starts."""
    assert studio.post("/api/runs", {"strategy": "probe", "effort": "quick"}).status_code == 200
    studio.until(lambda: studio.get("/api/runs")[0]["state"] != "running")
    (run,) = studio.get("/api/runs")
    assert (run["state"], run["error"]) == ("done", "")
    found: dict[str, object] = json.loads((studio.project / "runs" / run["name"] / "model" / "manifest.json").read_text())
    return found


def test_channels(tmp_path: Path, home: Path, tiny_weights: Path) -> None:
    """Pictures are the first three of five channels at the levels that were found; runs see all five."""
    rng = np.random.default_rng(0)
    for label in CLASSES:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(8):
            bands = [np.asarray(draw_shape(label, rng).convert("L"), np.uint16) * (40 + 10 * i) for i in range(5)]
            tifffile.imwrite(
                tmp_path / "data" / label / f"{number}.tif",
                np.stack(bands, -1),
                photometric="minisblack",
                planarconfig="contig",
            )
    with opened_studio(tmp_path, home, tiny_weights, "--channels", f"{FIVE}+window=1..99") as studio:
        (note,) = studio.get("/api/project")["notes"]
        assert "percentiles 1 and 99 of 16 images" in note
        channels = note.rpartition("--channels ")[2]
        digest = studio.row(0)["digest"]
        shown = decode((tmp_path / "data" / "circles" / "0.tif").read_bytes(), channels=channels).rgb
        answer = studio.client.get(f"/images/{digest}")
        assert answer.headers["content-type"] == "image/png"
        assert (np.asarray(Image.open(io.BytesIO(answer.content))) == np.asarray(shown)).all()
        thumbnail = studio.client.get(f"/images/{digest}/thumbnail?side={SIDES_PX[0]}")
        assert thumbnail.content == encode_thumbnail(shown, SIDES_PX[0])
        studio.await_model()
        manifest = ended_run(studio)
    assert manifest["settings"]["channels"] == f"{FIVE}+window=1..99" and len(manifest["preprocess"]["mean"]) == 5


def test_frames(tmp_path: Path, home: Path, tiny_weights: Path) -> None:
    """Frames are rows of their own, which are labelled and trained on; the label is found again by --every of a run."""
    pytest.importorskip("av")
    from runs.test_videos import video

    rng = np.random.default_rng(0)
    for label in CLASSES:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(4):
            frames = [np.asarray(draw_shape(label, rng, (64, 48))) for _ in range(6)]
            (tmp_path / "data" / label / f"{number}.mkv").write_bytes(video(frames))
    with studio_of(
        tmp_path / "data", tmp_path / "project", home=home, weights=tiny_weights, options=["--every", "3"]
    ) as studio:
        paths = [studio.row(row)["path"] for row in range(16)]
        assert [path.endswith(("!000000.png", "!000003.png")) for path in paths] == [True] * 16
        assert studio.get("/api/project")["n_readable"] == 16
        assert studio.client.get(f"/images/{studio.row(0)['digest']}").headers["content-type"] == "image/png"
        assert studio.decide([0], "label", label="squares").status_code == 200
        manifest = ended_run(studio)
        with LabelLog.open(tmp_path / "project" / "labels.sqlite", create=False) as log:
            (decided,) = log.standing()
    assert decided.path == "circles/0.mkv!000000.png" and manifest["settings"]["every"] == "3"
    assert sum(len(digests) for digests in manifest["images"].values()) == 16
    assert sum(manifest["data"]["counts"]["train"]) + sum(manifest["data"]["counts"].get("val", (0,))) == 16
