"""No command writes among the images it reads: the next run would take the result for a class or an image."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SavedRun

from apps.conftest import Result, assert_explained, snapshot

Command = Callable[..., Result]


@pytest.fixture
def data(draw_classes: Callable[..., Path]) -> Path:
    """Two classes of drawn images."""
    return draw_classes({"circles": 4, "squares": 4})


@pytest.mark.parametrize("place", ["{data}/out", "{data}/circles/out", "{link}/out"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "{data}", "--output", "{place}"),
        ("train", "{other}", "--val", "{data}", "--output", "{place}"),
        ("audit", "{data}", "--output", "{place}"),
        ("audit", "{other}", "--test", "{data}", "--output", "{place}"),
        ("compare", "{data}", "--output", "{place}.json"),
        ("embed", "{data}", "--output", "{place}.parquet"),
        ("preview", "{data}", "--output", "{place}.png"),
        ("predict", "{run}", "{data}", "--output", "{place}.csv"),
        ("predict", "{run}", "{data}", "--grid", "{place}.png"),
        ("predict", "{run}", "{data}", "--resume", "--output", "{place}.jsonl"),
    ],
    ids=" ".join,
)
def test_inside_the_data(
    arguments: tuple[str, ...], place: str, data: Path, saved_run: SavedRun, headstart: Command, here: Path
) -> None:
    """An output inside DATA, --val or --test, through a link too, is refused by every command, and nothing is written."""
    link = here / "link"
    link.symlink_to(data)
    names = {"data": data, "link": link, "run": saved_run.run, "other": saved_run.data}
    before = snapshot(data)
    given = [word.format(**names, place=place.format(**names)) for word in arguments]
    assert_explained(headstart(*given), "would be inside")
    assert snapshot(data) == before


def test_export_among_the_images_of_the_run(saved_run: SavedRun, headstart: Command) -> None:
    """An export is not written into the folder that holds the class folders of the run's images."""
    before = snapshot(saved_run.data)
    for model in (saved_run.run, saved_run.model):
        assert_explained(headstart("export", model, "--output", saved_run.data / "val" / "onnx"), "would be inside")
    assert snapshot(saved_run.data) == before


def test_beside_an_image_that_is_named(saved_run: SavedRun, headstart: Command, data: Path) -> None:
    """An image that is named by its path is no folder: the answers may be written beside it."""
    images = sorted((data / "circles").iterdir())
    assert headstart("predict", saved_run.run, *images, "--output", data / "circles" / "answers.csv").code == 0
    assert (data / "circles" / "answers.csv").is_file()
