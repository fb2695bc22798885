"""Frames of videos are images; those of one video are on one side of a split."""

import io
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_shape
from PIL import Image

import headstart
from headstart.data.images import decode
from headstart.data.other_files import is_video
from headstart.data.sources import Candidate, Sources
from headstart.data.unreadable import UnreadableImage
from headstart.data.videos import with_frames
from headstart.errors import DataError, MissingPackageError, SettingsError
from headstart.runs.evaluating import evaluate_model
from headstart.settings import TrainSettings
from runs.conftest import CLASSES, rows_of

av = pytest.importorskip("av")


def video(frames: list[np.ndarray], codec: str = "ffv1", kind: str = "matroska") -> bytes:
    """A video of (height, width, 3) frames, ten a second; FFV1 keeps their pixels."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = {"ffv1": "bgr0", "mpeg4": "yuv420p", "mjpeg": "yuvj420p"}[codec]
        stream.time_base = Fraction(1, 10)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def noise(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 64, 3)).astype(np.uint8) for _ in range(n)]


def taken(data: bytes, every: str, file: Path, **known: str) -> tuple[Sources, list[np.ndarray]]:
    """The sources with the frames of a video, and the pixels of these."""
    file.write_bytes(data)
    with with_frames([Sources("set", (Candidate(str(file), file, **known),))], every) as (sources,):
        return sources, [np.asarray(decode(one.read()).rgb) for one in sources.candidates]


WHICH = [("1", range(10)), ("4", (0, 4, 8)), ("99", (0,)), ("0.3s", (0, 3, 6, 9)), ("0.25s", (0, 3, 5, 8)), ("60s", (0,))]


@pytest.mark.parametrize(("every", "numbers"), WHICH)
def test_which_frames(every: str, numbers: Sequence[int], tmp_path: Path) -> None:
    """Each n-th frame, or the first in each so many seconds, with its pixels, label and split, and its video as the group."""
    frames, file = noise(10), tmp_path / "clip.bin"
    sources, pixels = taken(video(frames), every, file, label="x", split="train")
    assert [one.path for one in sources.candidates] == [f"{file}!{number:06d}.png" for number in numbers]
    assert all((found == frames[number]).all() for found, number in zip(pixels, numbers, strict=True))
    assert {(one.label, one.split, one.group) for one in sources.candidates} == {("x", "train", f"video {file}")}
    assert f"(--every {every})" in sources.notes[0] and not sources.skipped
    assert taken(video(frames), every, file, group="mine")[0].candidates[0].group == "mine"


@pytest.mark.parametrize(("codec", "kind"), [("mpeg4", "mp4"), ("mpeg4", "mov"), ("mjpeg", "avi"), ("ffv1", "matroska")])
def test_containers(codec: str, kind: str, tmp_path: Path) -> None:
    """Videos are known by their content; without --every the reason says how they are used."""
    data = video([np.full((48, 64, 3), level, np.uint8) for level in (10, 120, 240)], codec, kind)
    assert is_video(data[:64])
    with pytest.raises(UnreadableImage, match=r"a video.*--every"):
        decode(data)
    _, pixels = taken(data, "1", tmp_path / "clip")
    assert [round(float(found.mean()), -1) for found in pixels] == [10, 120, 240]


def test_turned_as_its_container_says(tmp_path: Path) -> None:
    """A video that a phone held upright comes out upright."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :32] = 250  # the left half is white
    data = video([frame] * 2, "mpeg4", "mp4")
    identity = b"".join(n.to_bytes(4, "big") for n in (0x10000, 0, 0, 0, 0x10000))
    by_quarter = b"".join((n % (1 << 32)).to_bytes(4, "big") for n in (0, 0x10000, 0, -0x10000, 0))  # clockwise
    at = data.index(identity, data.index(b"tkhd"))
    _, (pixels, _) = taken(data[:at] + by_quarter + data[at + len(identity) :], "1", tmp_path / "clip")
    assert pixels.shape == (64, 48, 3) and pixels[:28].mean() > 200 > 50 > pixels[36:].mean()


def test_damaged_videos(tmp_path: Path) -> None:
    """What can be decoded of a damaged video is used, and the rest is told; an image with a video's name stays an image."""
    data = video(noise(10), "mpeg4", "mp4")
    for part in (data[:40], data[: len(data) // 2], data[:200] + bytes(len(data) - 200)):
        with pytest.raises(UnreadableImage) as caught:
            taken(part, "1", tmp_path / "clip")
        assert "video" in caught.value.reason and "\n" not in caught.value.reason
    cut = video(noise(10))
    sources, pixels = taken(cut[: len(cut) // 2], "1", tmp_path / "clip")
    assert 0 < len(pixels) < 10
    assert not sources.skipped or "damaged after frame" in sources.skipped[0].reason
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    sources, _ = taken(buffer.getvalue(), "1", tmp_path / "clip.mp4")
    assert [one.path for one in sources.candidates] == [f"{tmp_path}/clip.mp4"] and not sources.notes


def test_sound_alone(tmp_path: Path) -> None:
    """A file of sound has no pictures."""
    sound = io.BytesIO()
    with av.open(sound, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UnreadableImage, match="without a picture"):
        taken(sound.getvalue(), "1", tmp_path / "clip")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where PyAV is missing, --every names the extra if there is a video; without one nothing is needed."""
    data = video(noise(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError) as caught:
        taken(data, "1", tmp_path / "clip")
    assert caught.value.hint == "pip install 'headstart[video]'"
    (tmp_path / "clip").write_bytes(b"text")
    with with_frames([Sources("set", (Candidate("a", tmp_path / "clip"),))], "1") as (sources,):
        assert len(sources.candidates) == 1


@pytest.mark.parametrize("every", ["0", "-1", "1.5", "s", "0s", "0.0s", "1m", "", "1e3"])
def test_what_it_cannot_be(every: str) -> None:
    """What means no frames is refused with how it is written."""
    with pytest.raises(SettingsError) as caught:
        TrainSettings.of(every=every)
    assert "each 25th frame" in str(caught.value.hint)


def test_a_class_of_damaged_videos(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """A class whose videos cannot be read is an error, as one of damaged images is, and not left out."""
    for label in (*CLASSES[:2], "broken"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            content = video(noise(3), "mpeg4", "mp4")
            (tmp_path / "data" / label / f"{number}.mp4").write_bytes(content[:60] if label == "broken" else content)
    with pytest.raises(DataError, match=r"'broken' has no image that can be read .*the video is damaged"):
        headstart.train(tmp_path / "data", settings(every="1"), output=tmp_path / "run")


def test_a_run_on_videos(settings: Callable[..., TrainSettings], tmp_path: Path) -> None:
    """Whole videos are held out; evaluate takes the frames that the model's run took."""
    rng = np.random.default_rng(2)
    data = tmp_path / "data"
    for label in CLASSES[:2]:
        (data / label).mkdir(parents=True)
        for number in range(6):
            shapes = [np.asarray(draw_shape(label, rng)) for _ in range(8)]
            (data / label / f"{label}-{number}.mkv").write_bytes(video(shapes))
    run = headstart.train(data, settings(every="2"), output=tmp_path / "run")
    held = [row["path"].split("!")[0] for row in rows_of(run.run / "predictions.csv")]
    assert held and all(held.count(path) == 4 for path in held) and run.evaluation.n_groups == len(set(held))
    assert any("48 frames of 12 videos" in note for note in run.notes)
    evaluated = evaluate_model(run.model, data, split="all")
    assert (evaluated.evaluation.n, evaluated.evaluation.n_groups) == (48, 12)
