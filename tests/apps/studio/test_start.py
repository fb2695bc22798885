"""What a studio cannot be started on is told in one sentence, with a hint."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS, TINY

from apps.conftest import Result, assert_explained
from apps.studio.conftest import draw, studio_of


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page is shown before it is known whether there is a project, however slow the machine."""
    monkeypatch.setattr("headstart.apps.commands.studio.PATIENCE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def refused(headstart: Callable[..., Result], tiny_weights: Path, tmp_path: Path) -> Callable[..., None]:
    """Starts a studio that refuses: refused("words of the sentence", DATA, "--project", folder)."""

    def start(words: str, data: object, *arguments: object, project: Path | None = None) -> None:
        place = ("--project", project or tmp_path / "project", "--no-browser", "--port", 0)
        result = headstart("studio", data, *place, "--backbone", TINY, "--weights", tiny_weights, *arguments)
        assert_explained(result, words)

    return start


def test_no_data(refused: Callable[..., None], tmp_path: Path) -> None:
    """DATA that is missing, empty, or no images."""
    refused("nowhere", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused("empty", tmp_path / "empty")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("no image")
    refused("notes", tmp_path / "notes")
    (tmp_path / "file.txt").write_text("no image")
    refused("file.txt", tmp_path / "file.txt")
    assert not (tmp_path / "project").exists()


def test_no_project(refused: Callable[..., None], tmp_path: Path) -> None:
    """A project inside DATA, in a folder of something else, in a file, or damaged."""
    data = draw(tmp_path / "shapes", {"circles": 2, "squares": 2})
    refused("--project", data, project=data / "project")
    refused("--project", data, project=data)
    assert sorted(path.name for path in data.iterdir()) == ["circles", "squares"]
    refused("is not a project", data, project=draw(tmp_path / "other", {"circles": 1}))
    (tmp_path / "file").touch()
    refused("is a file", data, project=tmp_path / "file")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "labels.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    refused("damaged", data, project=tmp_path / "damaged")


def test_no_project_within_the_current_folder(
    refused: Callable[..., None], headstart: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the current folder is DATA, the project needs another place: the hint names the option."""
    monkeypatch.chdir(draw(tmp_path / "shapes", {"circles": 2, "squares": 2}))
    result = headstart("studio", ".", "--no-browser", "--port", 0)
    assert_explained(result, "--project")


def test_no_door(refused: Callable[..., None], tmp_path: Path) -> None:
    """An address that is none, and a token that is none."""
    data = draw(tmp_path / "shapes", {"circles": 2})
    refused("nowhere.invalid", data, "--host", "nowhere.invalid")
    refused("token", data, "--token-file", tmp_path / "no token")


@pytest.mark.process
def test_two_studios_on_one_project(refused: Callable[..., None], home: Path, tiny_weights: Path, tmp_path: Path) -> None:
    """The second is refused; when the first has ended, or was killed, it may."""
    data = draw(tmp_path / "shapes", {"circles": 2, "squares": 2})
    with studio_of(data, tmp_path / "project", home=home, weights=tiny_weights) as studio:
        refused("is open in another studio", data)
        assert studio.order() == [0, 1, 2, 3]
        studio.process.kill()
        studio.process.wait()
    with studio_of(data, tmp_path / "project", home=home, weights=tiny_weights) as studio:
        assert studio.get("/api/project")["n_images"] == 4


@pytest.mark.process
@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images(home: Path, tiny_weights: Path, tmp_path: Path, n: int) -> None:
    """Everything answers, also where there is nearly nothing to say."""
    data = draw(tmp_path / "photos", {"circles": n}, flat=True)
    with studio_of(data, tmp_path / "project", home=home, weights=tiny_weights) as studio:
        assert len(studio.queue("next")) == n
        assert studio.decide([0], "label:next", label="a").status_code == 200
        if n > 1:
            assert studio.decide([1], "label:next", label="b").status_code == 200
        studio.until(lambda: studio.client.get("/api/map").status_code == 200)
        assert len(studio.get("/api/neighbours/0")) == n - 1
        for path in ("/api/model", "/api/queues", "/api/reviewed", "/api/runs"):
            studio.get(path)
        assert studio.get("/api/project")["problem"] is None
        assert (tmp_path / "project" / "features.tmp").exists()
        assert studio.end() == (0, "")
    assert not (tmp_path / "project" / "features.tmp").exists()
