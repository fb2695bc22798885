"""The labels of a project count before those that the data came with, whatever has happened to the files since."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data.decided import Change, ImageKey, State
from headstart.data.given import open_given
from headstart.data.label_log import LabelLog
from headstart.data.opening import open_sources
from headstart.data.reading import Reading
from headstart.data.relabelling import LABELS, paths_in
from headstart.data.sources import LabelsUsed, Sources, digest_of
from headstart.errors import DataError, HeadstartWarning, SettingsError
from headstart.settings import TrainSettings

Decide = Callable[..., None]


def write(folder: Path, *names: str) -> Path:
    """Files that nothing here opens, each with its own content."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def decide(project: Path, data: Path, decisions: dict[str, str | None], *, excluded: bool = False, why: str = "label") -> None:
    """Decides on the files of these relative paths as a studio would."""
    with open_sources(data, Reading(with_unlabelled=True)) as sources, LabelLog.open(project / LABELS) as log:
        states = log.states()
        for path, candidate in zip(paths_in(sources), sources.candidates, strict=True):
            if path in decisions:
                key = ImageKey(digest_of(candidate), path)
                new = State(decisions[path], excluded)
                log.decide([Change(key, states.get(key, State(candidate.label)), new)], who="a", why=why)


def labels_of(sources: list[Sources], *, split: bool = False) -> dict[str, object]:
    """File name -> label, or (split, label)."""
    return {c.file.name: (c.split, c.label) if split else c.label for source in sources for c in source.candidates}


def opened(data: Path, project: Path, **values: object) -> list[Sources]:
    with open_given(data, TrainSettings.of(labels=project, **values)) as sources:
        return sources


def skipped_of(sources: list[Sources], kind: str) -> dict[str, str]:
    return {Path(entry.path).name: entry.reason for source in sources for entry in source.skipped if entry.kind == kind}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of two images."""
    return write(tmp_path / "set", "ants/1.jpg", "ants/2.jpg", "bees/3.jpg", "bees/4.jpg")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_labels_and_exclusions(data: Path, project: Path) -> None:
    """What was decided counts, what was not stays; what changed is told without names, and which labels were used."""
    decide(project, data, {"ants/1.jpg": "bees", "bees/3.jpg": "wasps", "bees/4.jpg": "bees"})
    decide(project, data, {"ants/2.jpg": "ants"}, excluded=True, why="exclude:blank")
    sources = opened(data, project)
    assert labels_of(sources) == {"1.jpg": "bees", "3.jpg": "wasps", "4.jpg": "bees"}
    assert skipped_of(sources, "excluded") == {"2.jpg": "excluded: decided in the studio, in the queue blank"}
    assert sources[0].notes == ("by the labels of the project: 2 images relabelled, 1 image excluded",)
    with LabelLog.open(project / LABELS) as log:
        assert sources[0].labels_used == LabelsUsed(digest=log.digest(), decisions=4)


def test_an_empty_log_changes_nothing(data: Path, project: Path) -> None:
    """A project in which nothing was decided gives the data as it came."""
    LabelLog.open(project / LABELS).close()
    sources = opened(data, project)
    assert labels_of(sources) == {"1.jpg": "ants", "2.jpg": "ants", "3.jpg": "bees", "4.jpg": "bees"}
    assert sources[0].notes == ()


def test_what_was_undone_does_not_count(data: Path, project: Path) -> None:
    """A decision that was taken back is none, even if the image has another label by now."""
    decide(project, data, {"ants/1.jpg": "wasps", "ants/2.jpg": "wasps"})
    with LabelLog.open(project / LABELS) as log:
        log.undo("a")
    (data / "ants" / "2.jpg").rename(data / "bees" / "2.jpg")
    assert labels_of(opened(data, project)) == {"1.jpg": "wasps", "2.jpg": "bees", "3.jpg": "bees", "4.jpg": "bees"}


def test_data_under_another_name(data: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project fits however DATA is named, where it was moved, and in an archive of it."""
    decide(project, data, {"ants/1.jpg": "bees"})
    right = {"1.jpg": "bees", "2.jpg": "ants", "3.jpg": "bees", "4.jpg": "bees"}
    monkeypatch.chdir(data.parent)
    for name in (Path("set"), Path("./set/../set"), data.resolve()):
        assert labels_of(opened(name, project)) == right
    shutil.move(data, tmp_path / "elsewhere")
    assert labels_of(opened(tmp_path / "elsewhere", project)) == right
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted((tmp_path / "elsewhere").rglob("*.jpg")):
            archive.write(file, Path("wrapped", "set", file.relative_to(tmp_path / "elsewhere")))
    assert labels_of(opened(tmp_path / "set.zip", project)) == right


def test_files_that_were_renamed_or_moved(data: Path, project: Path) -> None:
    """A decision follows its image by its content: also where names were swapped, and into new folders."""
    decide(project, data, {"ants/1.jpg": "bees", "ants/2.jpg": "wasps", "bees/3.jpg": "hornets"})
    (data / "ants" / "1.jpg").rename(data / "x.jpg")
    (data / "ants" / "2.jpg").rename(data / "ants" / "1.jpg")
    (data / "x.jpg").rename(data / "ants" / "2.jpg")
    (data / "flies").mkdir()
    (data / "bees" / "3.jpg").rename(data / "flies" / "new name.jpg")
    assert labels_of(opened(data, project)) == {"1.jpg": "wasps", "2.jpg": "bees", "new name.jpg": "hornets", "4.jpg": "bees"}


def test_a_file_that_changed(data: Path, project: Path) -> None:
    """A file that holds another image now is told, and has the label that it came with."""
    decide(project, data, {"ants/1.jpg": "bees", "ants/2.jpg": "bees"})
    (data / "ants" / "1.jpg").write_text("another image")
    with pytest.warns(
        HeadstartWarning, match="files that have changed since they were decided on.*: 1; the first is ants/1.jpg"
    ):
        sources = opened(data, project)
    assert labels_of(sources) == {"1.jpg": "ants", "2.jpg": "bees", "3.jpg": "bees", "4.jpg": "bees"}
    decide(project, data, {"ants/1.jpg": "wasps"})  # the new image; what was decided on the old one is no news any more
    assert labels_of(opened(data, project)) == {"1.jpg": "wasps", "2.jpg": "bees", "3.jpg": "bees", "4.jpg": "bees"}


def test_an_image_that_is_gone(data: Path, project: Path) -> None:
    """Decisions on images that are not in the data are told with their number; if there are no others, it is an error."""
    decide(project, data, {"ants/1.jpg": "bees", "bees/3.jpg": "ants"})
    (data / "ants" / "1.jpg").unlink()
    with pytest.warns(HeadstartWarning, match=r"images decided on in .* that are not in the data: 1; the first is ants/1.jpg"):
        assert labels_of(opened(data, project)) == {"2.jpg": "ants", "3.jpg": "ants", "4.jpg": "bees"}
    (data / "bees" / "3.jpg").unlink()
    with pytest.raises(
        DataError, match=r"no decision in .* is about an image of the data, of 2; the first is about ants/1.jpg"
    ):
        opened(data, project)


def test_copies_of_an_image(tmp_path: Path, project: Path) -> None:
    """Of several files with one content each keeps its own decision, also after all were moved into another folder."""
    data = write(tmp_path / "set", "ants/1.jpg", "bees/2.jpg")
    for name in ("ants/same.jpg", "bees/same.jpg", "wasps/same.jpg"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text("the same picture")
    decide(project, data, {"bees/same.jpg": "bees"}, excluded=True)
    decide(project, data, {"ants/same.jpg": "wasps"})
    table = write(tmp_path, "another.jpg") / "table.csv"
    files = ["another.jpg", *(file.relative_to(tmp_path).as_posix() for file in sorted(data.rglob("*.jpg")))]
    table.write_text("path,label\n" + "".join(f"{file},{Path(file).parent.name}\n" for file in files))
    for given in (data, table):  # in the table the paths start from another folder
        sources = opened(given, project)
        labels = {c.file.relative_to(tmp_path).as_posix(): c.label for c in sources[0].candidates}
        assert (labels["set/ants/same.jpg"], labels["set/wasps/same.jpg"]) == ("wasps", "wasps")
        assert "set/bees/same.jpg" not in labels
        assert skipped_of(sources, "excluded") == {"same.jpg": "excluded: decided in the studio"}


def test_a_label_taken_away(data: Path, project: Path) -> None:
    """An image whose label a person took away is not used, and counted."""
    decide(project, data, {"ants/1.jpg": None})
    sources = opened(data, project)
    assert labels_of(sources) == {"2.jpg": "ants", "3.jpg": "bees", "4.jpg": "bees"}
    assert skipped_of(sources, "unlabelled") == {"1.jpg": "it has no label"}
    assert sources[0].notes == ("1 image has no label: not used",)


def test_spellings_are_joined_after_relabelling(data: Path, project: Path) -> None:
    """A label of the project in another letter case is joined with --join-case."""
    decide(project, data, {"ants/1.jpg": "BEES"})
    assert labels_of(opened(data, project, join_case=True))["1.jpg"] == "bees"


def test_exclusions_of_a_table_come_after(data: Path, project: Path, tmp_path: Path) -> None:
    """--exclude works beside --labels; naming what the project leaves out already is no mistake."""
    decide(project, data, {"ants/1.jpg": "ants"}, excluded=True)
    table = tmp_path / "exclude.csv"
    table.write_text(f"path,reason\n{data / 'ants' / '1.jpg'},why\n")
    assert labels_of(opened(data, project, exclude=table)) == {"2.jpg": "ants", "3.jpg": "bees", "4.jpg": "bees"}
    table.write_text(f"path,reason\n{data / 'ants' / '1.jpg'},why\n{data / 'bees' / '3.jpg'},why\n")
    assert labels_of(opened(data, project, exclude=table)) == {"2.jpg": "ants", "4.jpg": "bees"}


def test_val_from_elsewhere(data: Path, project: Path, tmp_path: Path) -> None:
    """Decisions on images of --val count too, and the splits stay."""
    val = write(tmp_path / "held out", "ants/8.jpg", "bees/9.jpg")
    decide(project, data, {"ants/1.jpg": "bees"})
    decide(project, val, {"bees/9.jpg": "ants"})
    assert labels_of(opened(data, project, val=val), split=True) == {
        "1.jpg": ("train", "bees"),
        "2.jpg": ("train", "ants"),
        "3.jpg": ("train", "bees"),
        "4.jpg": ("train", "bees"),
        "8.jpg": ("val", "ants"),
        "9.jpg": ("val", "ants"),
    }


def test_a_class_without_files_that_got_some(data: Path, project: Path) -> None:
    """An empty class folder is no mistake once images were given its label."""
    (data / "wasps").mkdir()
    assert opened_plainly(data).empty_classes == (("", "wasps"),)
    decide(project, data, {"ants/1.jpg": "wasps"})
    assert opened(data, project)[0].empty_classes == ()


def opened_plainly(data: Path) -> Sources:
    with open_sources(data) as sources:
        return sources


def test_as_it_was(data: Path, project: Path) -> None:
    """A run that is resumed uses the labels as they were when it was started, whatever was decided since."""
    decide(project, data, {"ants/1.jpg": "bees"})
    used = opened(data, project)[0].labels_used
    decide(project, data, {"ants/1.jpg": "wasps", "ants/2.jpg": "wasps"})
    with open_given(data, TrainSettings.of(labels=project), labels_as_of=used) as sources:
        assert labels_of(sources) == {"1.jpg": "bees", "2.jpg": "ants", "3.jpg": "bees", "4.jpg": "bees"}
        assert sources[0].labels_used == used
    shutil.rmtree(project)
    project.mkdir()
    decide(project, data, {"ants/2.jpg": "bees"})
    with (
        pytest.raises(DataError, match="are not those that the run was started with"),
        open_given(data, TrainSettings.of(labels=project), labels_as_of=used),
    ):
        pass


def test_no_project(data: Path, tmp_path: Path) -> None:
    """A folder without a log, or none at all, is told; nothing is made there."""
    for project in (tmp_path / "nowhere", data):
        with pytest.raises(DataError, match="there are no labels in") as caught:
            opened(data, project)
        assert caught.value.hint
    assert not (tmp_path / "nowhere").exists()
    assert not (data / LABELS).exists()


# Images that came without a label


FORMS = {
    "loose": (["1.jpg", "2.jpg", "3"], {"1.jpg": None, "2.jpg": None, "3": None}),
    "one folder": (["images/1.jpg", "images/2.jpg"], {"1.jpg": None, "2.jpg": None}),
    "one folder of any name": (["holiday/1.jpg", "holiday/2.jpg"], {"1.jpg": None, "2.jpg": None}),
    "in splits": (["train/1.jpg", "test/2.jpg"], {"1.jpg": "train", "2.jpg": "test"}),
    "one split beside loose ones": (
        ["1.jpg", "test/2.jpg", "test/3.jpg"],
        {"1.jpg": "train", "2.jpg": "test", "3.jpg": "test"},
    ),
    "a folder called test alone": (["test/1.jpg", "test/2.jpg"], {"1.jpg": None, "2.jpg": None}),
    "with documents": (["1.jpg", "notes.txt", "labels.json"], {"1.jpg": None}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_of_images_without_labels(form: str, tmp_path: Path) -> None:
    """Where people label in a project, images need no class folders; without one, the folder is refused as ever."""
    names, splits = FORMS[form]
    data = write(tmp_path / "set", *names)
    with open_sources(data, Reading(with_unlabelled=True)) as sources:
        assert labels_of([sources], split=True) == {name: (split, None) for name, split in splits.items()}
    if form != "one folder of any name":  # one class, which train refuses
        with pytest.raises(DataError), open_sources(data):
            pass


def test_an_archive_of_images_without_labels(tmp_path: Path) -> None:
    """The same in an archive."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("1.jpg", "2.jpg"):
            archive.writestr(f"photos/{name}", name)
    with open_sources(tmp_path / "set.zip", Reading(with_unlabelled=True)) as sources:
        assert labels_of([sources]) == {"1.jpg": None, "2.jpg": None}


def test_nothing_to_label(tmp_path: Path) -> None:
    """A folder without any image is refused as ever."""
    for data in (write(tmp_path / "texts", "a.txt", "b.csv"), write(tmp_path / "empty")):
        data.mkdir(exist_ok=True)
        with pytest.raises(DataError, match="has no class folders"), open_sources(data, Reading(with_unlabelled=True)):
            pass


def test_images_beside_class_folders(data: Path, project: Path) -> None:
    """Images outside the class folders can be labelled in a project; those that are not yet are counted, not used."""
    write(data, "5.jpg", "6.jpg")
    plain = opened_plainly(data)
    assert {Path(entry.path).name: entry.reason for entry in plain.skipped} == dict.fromkeys(
        ["5.jpg", "6.jpg"], "it is outside the class folders"
    )
    decide(project, data, {"5.jpg": "wasps"})
    sources = opened(data, project)
    assert labels_of(sources)["5.jpg"] == "wasps"
    assert skipped_of(sources, "unlabelled") == {"6.jpg": "it has no label"}
    assert sources[0].notes == (
        "by the labels of the project: 1 image labelled that came without a label",
        "1 image has no label: not used",
    )


def test_a_test_split_without_labels(tmp_path: Path, project: Path) -> None:
    """Images of a test split without class folders stay in test when they are labelled; those in unlabelled/ are for train."""
    data = write(tmp_path / "set", "train/ants/1.jpg", "train/bees/2.jpg", "test/3.jpg", "test/4.jpg", "unlabelled/5.jpg")
    decide(project, data, {"test/3.jpg": "ants", "unlabelled/5.jpg": "bees"})
    sources = opened(data, project)
    assert labels_of(sources, split=True) == {
        "1.jpg": ("train", "ants"),
        "2.jpg": ("train", "bees"),
        "3.jpg": ("test", "ants"),
        "5.jpg": ("train", "bees"),
    }
    assert skipped_of(sources, "unlabelled") == {"4.jpg": "it has no label"}


def test_a_train_folder_without_labels_beside_labelled_ones(tmp_path: Path) -> None:
    """Labels that there are never get lost: a test split with class folders beside a train without any is refused."""
    data = write(tmp_path / "set", "train/1.jpg", "test/ants/2.jpg", "test/bees/3.jpg")
    with (
        pytest.raises(DataError, match="holds images, but no class folders"),
        open_sources(data, Reading(with_unlabelled=True)),
    ):
        pass


@pytest.mark.parametrize("table", ["path,label\n1.jpg,ants\n2.jpg,\n3.jpg,NA\n1.jpg,\n", "path\n1.jpg\n2.jpg\n3.jpg\n"])
def test_a_table_without_all_labels(table: str, tmp_path: Path, project: Path) -> None:
    """A table may lack labels, or the whole column, where they come from a project; without one it is refused."""
    data = write(tmp_path / "set", "1.jpg", "2.jpg", "3.jpg") / "table.csv"
    data.write_text(table)
    with pytest.raises(DataError):
        opened_plainly(data)
    with open_sources(data, Reading(with_unlabelled=True)) as sources:
        first = "ants" if "ants" in table else None
        assert labels_of([sources]) == {"1.jpg": first, "2.jpg": None, "3.jpg": None}
    decide(project, data, {"1.jpg": "ants", "2.jpg": "bees"})
    assert labels_of(opened(data, project)) == {"1.jpg": "ants", "2.jpg": "bees"}


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    """A label column that is named must be there, also where labels may lack."""
    data = write(tmp_path / "set", "1.jpg") / "table.csv"
    data.write_text("path\n1.jpg\n")
    reading = Reading(label_column="kind", with_unlabelled=True)
    with pytest.raises(DataError, match="has no column 'kind'"), open_sources(data, reading):
        pass
    settings = TrainSettings.of(label_column="kind", labels=tmp_path)
    with pytest.raises(SettingsError, match="is for tables"), open_given(tmp_path / "set", settings):
        pass


def test_nothing_is_labelled_yet(tmp_path: Path, project: Path) -> None:
    """Unlabelled images with an empty log cannot be trained on: told with what to do."""
    data = write(tmp_path / "set", "1.jpg", "2.jpg")
    LabelLog.open(project / LABELS).close()
    with pytest.raises(DataError, match="no image of set has a label") as caught:
        opened(data, project)
    assert "studio" in caught.value.hint
