"""Where a run goes, and what is left where it cannot go or is cancelled."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart
from headstart.errors import DataError, SettingsError
from headstart.settings import TrainSettings
from runs.conftest import CLASSES, metrics_of


def test_runs_are_numbered(
    draw_classes: Callable[..., Path],
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --output a run goes to runs/<data>-<strategy>-<n>, the next number that is free."""
    data = draw_classes(dict.fromkeys(CLASSES, 4), "my shapes")
    monkeypatch.chdir(tmp_path)
    runs = [headstart.train(data, settings()).run.as_posix() for _ in range(2)]
    assert runs == ["runs/my_shapes-probe-1", "runs/my_shapes-probe-2"]


def test_nothing_but_a_run_is_replaced(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """An output that exists is refused; --overwrite replaces a run and never anything else."""
    data = draw_classes(dict.fromkeys(CLASSES, 4))
    first = headstart.train(data, settings(), output=tmp_path / "run")
    with pytest.raises(SettingsError, match="run already exists") as caught:
        headstart.train(data, settings(), output=tmp_path / "run")
    assert "--overwrite" in caught.value.hint
    second = headstart.train(data, settings(seed=1), output=tmp_path / "run", overwrite=True)
    assert metrics_of(first.run) == second.metrics
    for taken in (data, data / "circles" / "circles-0.png"):
        before = sorted(data.rglob("*"))
        with pytest.raises(SettingsError, match="exists and is not a run"):
            headstart.train(data, settings(), output=taken, overwrite=True)
        assert sorted(data.rglob("*")) == before


def test_a_folder_that_appears_meanwhile_is_left(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """What something else puts at the output while the run computes stays, and so does the finished run."""
    place = tmp_path / "run"

    def interfere(stage: str, done: int, total: int) -> None:
        place.mkdir(exist_ok=True)
        (place / "thesis.txt").write_text("precious")

    with pytest.raises(SettingsError, match="in the meantime") as caught:
        headstart.train(draw_classes(dict.fromkeys(CLASSES, 4)), settings(), output=place, progress=interfere)
    assert (place / "thesis.txt").read_text() == "precious"
    assert str(tmp_path / "run.partial") in caught.value.hint
    assert (tmp_path / "run.partial" / "metrics.json").is_file()


def test_an_output_that_is_a_link(
    draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """A link to an empty folder stays a link, and the run is in the folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    headstart.train(draw_classes(dict.fromkeys(CLASSES, 4)), settings(), output=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "report.html").is_file()


def test_an_output_that_cannot_be_moved(
    draw_classes: Callable[..., Path],
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mount point, which cannot be renamed, is filled; where that fails the finished run is kept and named."""
    place, rename = tmp_path / "mounted", Path.rename
    place.mkdir()

    def busy(path: Path, target: Path) -> Path:
        if place in (path, Path(target)):
            raise OSError(16, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", busy)
    data = draw_classes(dict.fromkeys(CLASSES, 4))
    with pytest.raises(SettingsError, match="Device or resource busy") as caught:
        headstart.train(data, settings(), output=place)
    assert "mounted.partial" in caught.value.hint
    assert (tmp_path / "mounted.partial" / "metrics.json").is_file()
    shutil.rmtree(tmp_path / "mounted.partial")
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == place)
    headstart.train(data, settings(), output=place)
    assert (place / "report.html").is_file()
    assert not (tmp_path / "mounted.partial").exists()


@pytest.mark.parametrize("option", ["val", "test"])
def test_run_inside_held_out_images(option: str, split_shapes: Path, settings: Callable[..., TrainSettings]) -> None:
    """A run is not put among the images of --val or --test either."""
    held = split_shapes / "val"
    with pytest.raises(SettingsError, match="would be inside"):
        headstart.train(split_shapes / "train", settings(**{option: held}), output=held / "run")


def test_output_and_resume_exclude_each_other(tmp_path: Path) -> None:
    """--output with --resume is an error, not ignored."""
    with pytest.raises(SettingsError, match="cannot be combined"):
        headstart.train(None, resume=tmp_path / "a", output=tmp_path / "b")


@pytest.mark.parametrize("output", [Path(), Path("..")])
def test_an_output_without_a_name(
    output: Path,
    draw_classes: Callable[..., Path],
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--output . is the folder one is in, and refused like any other folder that is not a run."""
    (tmp_path / "here" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "deeper")
    (tmp_path / "here" / "deeper" / "mine.txt").write_text("kept")
    with pytest.raises(SettingsError, match="exists and is not a run"):
        headstart.train(draw_classes(dict.fromkeys(CLASSES, 4)), settings(), output=output, overwrite=True)
    assert (tmp_path / "here" / "deeper" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("stage", ["computing features", "choosing the strength", "decoding train"])
def test_cancelling_leaves_nothing(
    stage: str, draw_classes: Callable[..., Path], settings: Callable[..., TrainSettings], tmp_path: Path
) -> None:
    """Raising from progress before anything is finished leaves no folder behind."""

    def cancel(now: str, done: int, total: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    data = draw_classes(dict.fromkeys(CLASSES, 4))
    with pytest.raises(KeyboardInterrupt):
        headstart.train(data, settings(strategy="finetune"), output=tmp_path / "out" / "run", progress=cancel)
    assert list((tmp_path / "out").iterdir()) == []


def test_no_data() -> None:
    """Without DATA there is a sentence, not a traceback."""
    with pytest.raises(SettingsError, match="there is no DATA to train on"):
        headstart.train(None)


def test_run_inside_the_data(draw_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is not written among the images, where the next run would take it for a class."""
    data = draw_classes({"circles": 4, "squares": 4})
    monkeypatch.chdir(data)
    for output in (None, Path("out")):
        with pytest.raises(SettingsError, match="would be inside"):
            headstart.train(".", TrainSettings(), output=output)
    assert sorted(path.name for path in data.iterdir()) == ["circles", "squares"]


def test_no_empty_runs_folder(draw_classes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run that fails does not leave an empty runs/ behind."""
    data = draw_classes({"circles": 4})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="only one class"):
        headstart.train(data, TrainSettings())
    assert not (tmp_path / "runs").exists()
