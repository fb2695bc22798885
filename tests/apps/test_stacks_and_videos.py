"""Stacks and videos on the command line: `preview --channels` and `--every`, `predict VIDEO --every`."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SavedRun, draw_shape
from PIL import Image

from apps.conftest import Result, assert_explained, snapshot
from headstart.artifact.predictor import Predictor

av = pytest.importorskip("av")
tifffile = pytest.importorskip("tifffile")

from runs.test_videos import video  # noqa: E402

Command = Callable[..., Result]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A video of ten frames, one that cannot be read, and a photograph."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    frames = [np.asarray(draw_shape("circles", rng, (96, 80))) for _ in range(10)]
    (folder / "circles.mkv").write_bytes(video(frames))
    content = video(frames, "mpeg4", "mp4")
    (folder / "squares.mp4").write_bytes(content[: len(content) // 2])
    draw_shape("triangles", rng).save(folder / "triangles.png")
    return folder


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_for_each_frame(headstart: Command, saved_run: SavedRun, clips: Path) -> None:
    """Each frame that is taken has the answer of its picture; a damaged video has a row with the reason; photographs stay."""
    result = headstart("predict", saved_run.run, clips, "--every", "4", "--format", "csv")
    rows = {row["path"].removeprefix(f"{clips}/"): row for row in rows_of(result.out)}
    whole = [f"circles.mkv!{number:06d}.png" for number in (0, 4, 8)]
    assert result.code == 0 and list(rows)[:3] == whole and "triangles.png" in rows
    assert len(rows) == 5 and "the video is damaged" in rows["squares.mp4"]["error"]
    assert "independent" in result.err and "(--every 4)" in result.err
    with av.open(str(clips / "circles.mkv")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    predictor = Predictor.load(saved_run.run)
    for path, answer in zip(whole, predictor.predict([frames[i] for i in (0, 4, 8)]), strict=True):
        assert rows[path]["predicted"] == answer.predicted
        assert float(rows[path]["probability"]) == pytest.approx(answer.probability, abs=1e-6)


def test_videos_without_every(headstart: Command, saved_run: SavedRun, clips: Path) -> None:
    """Without --every a video is no image, and its row says how it becomes some; what --every cannot be is refused."""
    result = headstart("predict", saved_run.run, clips / "circles.mkv", "--format", "jsonl")
    assert result.code == 1 and "--every" in json.loads(result.out)["error"]
    assert_explained(headstart("predict", saved_run.run, clips, "--every", "0"), "--every")


def test_lists_resuming_and_grids(headstart: Command, saved_run: SavedRun, clips: Path, here: Path) -> None:
    """Videos in lists are taken as they arrive; answers are resumed, and other frames added; no video is written over."""
    (here / "list.txt").write_text(f"{clips / 'circles.mkv'}\n{clips / 'triangles.png'}\n")
    before = snapshot(clips)
    given = ("predict", saved_run.run, "--files-from", "list.txt", "--output", "a.csv")
    assert headstart(*given, "--every", "5", "--grid", "g.png").code == 0
    first = (here / "a.csv").read_text()
    assert [row["path"].rpartition("/")[2] for row in rows_of(first)] == [
        *("circles.mkv!000000.png", "circles.mkv!000005.png", "triangles.png"),
    ]
    with Image.open(here / "g.png") as picture:
        assert picture.format == "PNG"
    assert headstart(*given, "--every", "5", "--resume").code == 0 and (here / "a.csv").read_text() == first
    assert headstart(*given, "--every", "2", "--resume").code == 0
    assert len(rows_of((here / "a.csv").read_text())) == 7, "frames 2, 4, 6 and 8 came to 0, 5 and the photograph"
    refused = headstart(
        "predict", saved_run.run, clips, "--every", "5", "--format", "csv", "--output", clips / "circles.mkv", "--overwrite"
    )
    assert refused.code == 1 and snapshot(clips) == before


def test_preview_of_stacks(headstart: Command, here: Path) -> None:
    """preview shows what is chosen of a stack: grey, or the first three of more channels, at the levels that were found."""
    rng = np.random.default_rng(0)
    for label in ("circles", "squares"):
        (here / "data" / label).mkdir(parents=True)
        for number in range(3):
            bands = np.stack([np.asarray(draw_shape(label, rng).convert("L"), np.uint16) * 20 for _ in range(5)], -1)
            tifffile.imwrite(here / "data" / label / f"{number}.tif", bands, photometric="minisblack", planarconfig="contig")
    assert_explained(headstart("preview", "data"), "can be read")
    drawn = {}
    for channels in ("c=0+window=1..99", "c=1,2,0+window=1..99", "c=0,1,2,3,4+window=1..99"):
        result = headstart("preview", "data", "--channels", channels, "--output", "p.png", "--overwrite")
        assert result.code == 0 and "percentiles 1 and 99 of 6 images" in result.err, result.err
        with Image.open("p.png") as picture:
            drawn[channels] = np.asarray(picture.convert("RGB"), int)
    grey, *colours = drawn.values()
    assert np.ptp(grey, axis=-1).max() <= 2 and all(np.ptp(one, axis=-1).max() > 50 for one in colours)
    assert_explained(headstart("preview", "data", "--channels", "z=median"), "--channels cannot be")


def test_preview_of_videos(headstart: Command, here: Path) -> None:
    """preview draws frames of videos, by their names."""
    rng = np.random.default_rng(0)
    for label in ("circles", "squares"):
        (here / "data" / label).mkdir(parents=True)
        (here / "data" / label / "clip.mkv").write_bytes(
            video([np.asarray(draw_shape(label, rng, (96, 80))) for _ in range(6)])
        )
    assert_explained(headstart("preview", "data"), "--every")
    result = headstart("preview", "data", "--every", "0.2s", "--images", "6")
    assert result == Result(0, "preview.png\n", "")
