"""Where `headstart train` writes: runs are replaced only when asked, and nothing else ever is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]
Draw = Callable[..., Path]


def test_output_exists(quick: Command, draw_classes: Draw, here: Path) -> None:
    """An earlier run is left as it is unless --overwrite is given, and then it is replaced whole."""
    data = draw_classes({"circles": 5, "squares": 5})
    assert quick(data, "--output", "r").code == 0
    before = snapshot(here / "r")
    assert_explained(quick(data, "--output", "r"), "r already exists", "--overwrite")
    assert snapshot(here / "r") == before
    (here / "r" / "old figure.png").touch()
    assert quick(data, "--output", "r", "--overwrite", "--seed", 1).code == 0
    assert not (here / "r" / "old figure.png").exists()
    assert json.loads((here / "r" / "model" / "manifest.json").read_text(encoding="utf-8"))["seed"] == 1
    assert [path.name for path in here.iterdir()] == ["r"]


@pytest.mark.parametrize(
    "content",
    [{"thesis.txt": "years"}, {"metrics.json": '{"accuracy": 0.9}', "thesis.txt": "years"}, {"metrics.json": "nonsense"}],
    ids=["no run", "another tool's metrics.json", "a damaged metrics.json"],
)
def test_overwrite_replaces_nothing_but_runs(quick: Command, draw_classes: Draw, here: Path, content: dict[str, str]) -> None:
    """--overwrite on a folder that is not a run of ours is refused, and nothing in it is touched."""
    (here / "mine").mkdir()
    for name, text in content.items():
        (here / "mine" / name).write_text(text)
    before = snapshot(here)
    data = draw_classes({"circles": 5, "squares": 5})
    assert_explained(quick(data, "--output", "mine", "--overwrite"), "mine exists and is not a run")
    assert snapshot(here) == before


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["plain", "overwrite"])
def test_a_folder_of_the_user_named_partial(quick: Command, draw_classes: Draw, here: Path, overwrite: list[str]) -> None:
    """A folder of the user's that happens to be called OUTPUT.partial is never removed."""
    (here / "mine.partial").mkdir()
    (here / "mine.partial" / "thesis.txt").write_text("years")
    before = snapshot(here)
    data = draw_classes({"circles": 5, "squares": 5})
    assert_explained(quick(data, "--output", "mine", *overwrite), "mine.partial")
    assert snapshot(here) == before


def test_output_may_be_an_empty_folder(quick: Command, draw_classes: Draw, here: Path) -> None:
    """An empty folder that was made beforehand is taken as --output."""
    (here / "r").mkdir()
    assert quick(draw_classes({"circles": 5, "squares": 5}), "--output", "r").code == 0
    assert (here / "r" / "report.html").is_file()


def test_data_is_never_the_output(quick: Command, draw_classes: Draw, here: Path) -> None:
    """The folder of the images cannot be given as --output, not even with --overwrite."""
    data = draw_classes({"circles": 5, "squares": 5})
    before = snapshot(data)
    assert_explained(quick(data, "--output", data, "--overwrite"), "is not a run")
    assert snapshot(data) == before


def test_resume_of_a_finished_run(quick: Command, draw_classes: Draw, here: Path) -> None:
    """A finished run cannot be resumed, and is told from one that is not there."""
    data = draw_classes({"circles": 5, "squares": 5})
    assert quick(data, "--output", "r").code == 0
    assert_explained(quick("--resume", "r"), "r is finished: there is nothing to resume")
