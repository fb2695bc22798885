"""The folder of a project: what it is, what is exported from it, and that one studio has it at a time."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.data.decided import Change, ImageKey, State
from headstart.data.given import open_given
from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.data.relabelling import paths_in
from headstart.data.sources import Candidate, Sources, digest_of
from headstart.errors import DataError, SettingsError
from headstart.labelling.project import Project, open_project
from headstart.settings import TrainSettings

HOLD = """
import sys, time
from pathlib import Path
from headstart.labelling.project import open_project
with open_project(Path(sys.argv[1])):
    print("open", flush=True)
    time.sleep(600)
"""


def write(folder: Path, *names: str) -> Path:
    """Files that nothing here opens, each with its own content."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def unlabelled(data: Path) -> Sources:
    with open_sources(data, Reading(with_unlabelled=True)) as sources:
        return sources


def decide(project: Project, sources: Sources, decisions: dict[str, State]) -> None:
    files = dict(zip(paths_in(sources), sources.candidates, strict=True))
    changes = [Change(ImageKey(digest_of(files[path]), path), State(files[path].label), new) for path, new in decisions.items()]
    project.log.decide(changes, who="a", why="label")


def given(data: Path, **values: object) -> dict[str, tuple[str | None, str | None, str | None]]:
    """File name -> (label, split, group), as train sees it."""
    with open_given(data, TrainSettings.of(**values)) as sources:
        return {c.file.name: (c.label, c.split, c.group) for source in sources for c in source.candidates}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "project"


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    with open_project(folder) as opened:
        yield opened


def test_a_new_project(folder: Path) -> None:
    """A project is a folder with a log, made when it is first opened; after it is closed nothing else is left there."""
    with open_project(folder) as project:
        assert (project.log.last, project.runs) == (0, folder / "runs")
    assert [path.name for path in folder.iterdir()] == ["labels.sqlite"]
    with open_project(folder) as project:
        project.log.note_class("wasps", "a")
    with open_project(folder) as project:
        assert project.log.classes() == ["wasps"]


@pytest.mark.parametrize("name", ["a/1.jpg", "labels.csv", "metrics.json"])
def test_a_folder_that_is_something_else(folder: Path, name: str) -> None:
    """A folder with anything in it but no log is refused, and left as it is."""
    write(folder, name)
    with pytest.raises(SettingsError, match=f"is not a project: it holds {name.split('/')[0]}") as caught, open_project(folder):
        pass
    assert caught.value.hint
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == [name]


def test_a_file_in_its_place(tmp_path: Path) -> None:
    """A file, and a place that cannot be a folder, are told."""
    write(tmp_path, "file")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError) as caught, open_project(place):
            pass
        assert caught.value.hint


def test_what_a_killed_studio_left(folder: Path) -> None:
    """A studio that was killed before it wrote anything leaves a folder that can be used."""
    write(folder, "studio.lock", ".DS_Store")
    (folder / "labels.sqlite").touch()
    with open_project(folder) as project:
        assert project.log.last == 0


@pytest.mark.process
def test_one_studio_at_a_time(folder: Path) -> None:
    """A second studio on the same project is refused with a sentence; when the first is killed, the project is free."""
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        try:
            assert first.stdout.readline() == "open\n"
            with pytest.raises(SettingsError, match="is open in another studio") as caught, open_project(folder):
                pass
            assert "second window" in caught.value.hint
        finally:
            first.kill()
    with open_project(folder) as project:
        assert project.log.last == 0


def test_exported_tables_are_what_train_sees(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DATA with --labels, labels.csv as DATA, and the other way round exclude.csv as --exclude: all give the same images."""
    data = write(tmp_path / "set", "train/ants/1.jpg", "train/bees/2, 'x'.jpg", "test/ants/3.jpg", "test/bees/4.jpg", "5.jpg")
    monkeypatch.chdir(tmp_path)
    sources = unlabelled(Path("set"))
    decide(project, sources, {"5.jpg": State("größe, 🙂"), "train/ants/1.jpg": State("ants", excluded=True)})
    decide(project, sources, {"test/ants/3.jpg": State("bees")})
    written = project.export([sources])
    assert (written.n_labels, written.n_excluded) == (4, 1)
    right = {
        "2, 'x'.jpg": ("bees", "train", None),
        "3.jpg": ("bees", "test", None),
        "4.jpg": ("bees", "test", None),
        "5.jpg": ("größe, 🙂", "train", None),
    }
    monkeypatch.chdir(project.folder)
    assert given(data, labels=project.folder) == right
    assert given(written.labels) == right
    assert written.exclude.read_text().splitlines() == ["path,reason", f"{data}/train/ants/1.jpg,decided in the studio"]
    assert set(given(data, exclude=written.exclude)) == {"2, 'x'.jpg", "3.jpg", "4.jpg"}


def test_groups_are_exported(project: Project, tmp_path: Path) -> None:
    """The groups of a table stay in the exported one."""
    data = write(tmp_path / "set", "1.jpg", "2.jpg", "3.jpg") / "table.csv"
    data.write_text("path,label,group\n1.jpg,ants,x\n2.jpg,bees,x\n3.jpg,,y\n")
    decide(project, unlabelled(data), {"3.jpg": State("ants")})
    written = project.export([unlabelled(data)])
    assert given(written.labels) == {"1.jpg": ("ants", None, "x"), "2.jpg": ("bees", None, "x"), "3.jpg": ("ants", None, "y")}


def test_images_of_an_archive(project: Project, tmp_path: Path) -> None:
    """Members of an archive are named as they are shown, so that exclude.csv fits the archive wherever one is."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("ants/1.jpg", "ants/2.jpg", "bees/3.jpg"):
            archive.writestr(name, name)
    with open_sources(tmp_path / "set.zip", Reading(with_unlabelled=True)) as sources:
        decide(project, sources, {"ants/2.jpg": State("ants", excluded=True)})
        written = project.export([sources])
    assert written.exclude.read_text().splitlines()[1:] == [f"{tmp_path}/set.zip!ants/2.jpg,decided in the studio"]
    assert set(given(tmp_path / "set.zip", exclude=written.exclude)) == {"1.jpg", "3.jpg"}


def test_nothing_is_read_where_the_digests_are_known(project: Project, tmp_path: Path) -> None:
    """With the digests of the studio's scan no file is opened: not even one that is gone."""
    data = write(tmp_path / "set", "ants/1.jpg", "bees/2.jpg")
    sources = unlabelled(data)
    digests = {candidate.path: digest_of(candidate) for candidate in sources.candidates}
    decide(project, sources, {"ants/1.jpg": State("bees")})
    for candidate in sources.candidates:
        candidate.file.unlink()
    written = project.export([sources], lambda asked: [digests[candidate.path] for candidate in asked])
    assert [line.rpartition(",")[2] for line in written.labels.read_text().splitlines()] == ["label", "bees", "bees"]


def test_nothing_to_export(project: Project, tmp_path: Path) -> None:
    """Tables without rows are written where nothing was decided, or nothing of what was decided is there."""
    sources = unlabelled(write(tmp_path / "set", "1.jpg", "2.jpg"))
    assert project.export([sources]).n_labels == 0
    project.log.decide([Change(ImageKey("0" * 64, "x.jpg"), State(None), State("ants"))], who="a", why="label")
    written = project.export([sources])
    assert (written.n_labels, written.n_excluded) == (0, 0)
    assert written.labels.read_text() == "path,label\n"


@pytest.mark.parametrize("name", ["NA", "nan", "None", " ants"])
def test_a_class_that_a_table_cannot_hold(project: Project, name: str, tmp_path: Path) -> None:
    """A class from a folder's name that a table would give back as another, or as none, is told; the old table is kept."""
    write(project.folder, "labels.csv")
    file = tmp_path / "1.jpg"
    file.touch()
    with pytest.raises(DataError, match="cannot hold the class") as caught:
        project.export([Sources("set", (Candidate(str(file), file, name),))])
    assert "--labels" in caught.value.hint
    assert (project.folder / "labels.csv").read_text() == "labels.csv"
