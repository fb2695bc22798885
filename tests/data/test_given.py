"""DATA, and what --val, --test and --exclude name, become one list of sources."""

import zipfile
from pathlib import Path

import pytest

from headstart.data.given import open_given
from headstart.data.sources import Sources
from headstart.errors import DataError, HeadstartWarning
from headstart.settings import TrainSettings


def folder_of(folder: Path, *names: str) -> Path:
    """Files that nothing here opens."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def splits_of(sources: Sources) -> list[str | None]:
    return [candidate.split for candidate in sources.candidates]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Two classes without splits."""
    return folder_of(tmp_path / "set", "ants/1.jpg", "ants/2.jpg", "bees/3.jpg")


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """One image of each class, elsewhere."""
    return folder_of(tmp_path / "others", "ants/8.jpg", "bees/9.jpg")


def test_data_alone_is_as_it_is(plain: Path) -> None:
    """Without other settings DATA is the only source, and nothing is said of splits."""
    with open_given(plain, TrainSettings()) as sources:
        assert [source.name for source in sources] == ["set"]
        assert splits_of(sources[0]) == [None, None, None]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_from_elsewhere(split: str, plain: Path, others: Path) -> None:
    """What --val or --test names is that split, and what DATA does not say to be in a split is train."""
    with open_given(plain, TrainSettings.of(**{split: others})) as sources:
        assert [source.name for source in sources] == ["set", "others"]
        assert [splits_of(source) for source in sources] == [["train"] * 3, [split] * 2]


def test_data_first_then_val_then_test(plain: Path, others: Path, tmp_path: Path) -> None:
    """The order is the same whatever the order of the options."""
    last = folder_of(tmp_path / "last", "ants/7.jpg", "bees/6.jpg")
    with open_given(plain, TrainSettings.of(test=last, val=others)) as sources:
        assert [source.name for source in sources] == ["set", "others", "last"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_that_is_given_twice(split: str, tmp_path: Path, others: Path) -> None:
    """A DATA with the split and an option that gives another is an error: neither is dropped in silence."""
    data = folder_of(tmp_path / "set", "train/ants/1.jpg", "train/bees/2.jpg", f"{split}/ants/3.jpg", f"{split}/bees/4.jpg")
    with (
        pytest.raises(DataError, match=f"has a {split} split, and --{split} gives another") as caught,
        open_given(data, TrainSettings.of(**{split: others})),
    ):
        pass
    assert caught.value.hint == f"leave out --{split}"


def test_a_split_that_is_split_itself(plain: Path, tmp_path: Path) -> None:
    """Images for val that come in train and val are refused, with what to give instead."""
    both = folder_of(tmp_path / "both", "train/ants/1.jpg", "train/bees/2.jpg", "val/ants/3.jpg", "val/bees/4.jpg")
    with pytest.raises(DataError, match="is given as val but contains"), open_given(plain, TrainSettings.of(val=both)):
        pass


def test_data_with_one_split_and_another_from_elsewhere(tmp_path: Path, others: Path) -> None:
    """A test split of DATA stays one when val comes from elsewhere."""
    data = folder_of(tmp_path / "set", "train/ants/1.jpg", "train/bees/2.jpg", "test/ants/3.jpg", "test/bees/4.jpg")
    with open_given(data, TrainSettings.of(val=others)) as sources:
        assert [(c.file.parent.parent.name, c.split) for c in sources[0].candidates] == [
            ("test", "test"),
            ("test", "test"),
            ("train", "train"),
            ("train", "train"),
        ]
        assert splits_of(sources[1]) == ["val", "val"]


def test_what_is_excluded_is_listed(plain: Path, others: Path, tmp_path: Path) -> None:
    """A table of paths leaves files of any source out, each with its reason."""
    table = tmp_path / "exclude.csv"
    table.write_text(f"path,reason\n{plain / 'ants' / '2.jpg'},blurred\n{others / 'bees' / '9.jpg'},a wasp\n")
    with open_given(plain, TrainSettings.of(val=others, exclude=table)) as sources:
        assert [[candidate.file.name for candidate in source.candidates] for source in sources] == [
            ["1.jpg", "3.jpg"],
            ["8.jpg"],
        ]
        assert [[entry.reason for entry in source.skipped] for source in sources] == [
            ["excluded: blurred"],
            ["excluded: a wasp"],
        ]


def test_a_table_of_nothing(plain: Path, tmp_path: Path) -> None:
    """An empty table is no reason to stop; one whose paths are all unknown is, one with some of them warns."""
    table = tmp_path / "exclude.csv"
    table.write_text("path,reason\n")
    with open_given(plain, TrainSettings.of(exclude=table)) as sources:
        assert len(sources[0].candidates) == 3
    table.write_text("path,reason\nelsewhere.jpg,why\n")
    with pytest.raises(DataError, match="is a file of the data"), open_given(plain, TrainSettings.of(exclude=table)):
        pass
    table.write_text(f"path,reason\nelsewhere.jpg,why\n{plain / 'ants' / '1.jpg'},why\n")
    with (
        pytest.warns(HeadstartWarning, match="paths in .* that are not files of the data: 1; the first is elsewhere.jpg"),
        open_given(plain, TrainSettings.of(exclude=table)) as sources,
    ):
        assert len(sources[0].candidates) == 2


def test_everything_is_closed_at_the_end(plain: Path, others: Path, tmp_path: Path) -> None:
    """Archives stay open while the block runs, and are closed where it ends, also where the next source cannot be opened."""
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(plain.rglob("*.jpg")):
            file.write(path, path.relative_to(plain).as_posix())
    with open_given(archive, TrainSettings.of(val=others)) as sources:
        assert sources[0].candidates[0].read() == b"ants/1.jpg"
    with (
        pytest.raises(DataError, match="there is no"),
        open_given(archive, TrainSettings.of(val=others, test=tmp_path / "none")),
    ):
        pass
    archive.unlink()  # which an open file would forbid on Windows


@pytest.mark.parametrize(
    ("task", "told"), [("multi-label", "cat|dog"), ("regression", "named by numbers"), ("nested", "folder per class")]
)
def test_a_folder_without_classes(task: str, told: str, tmp_path: Path) -> None:
    """The hint names the forms of data that the task takes: class folders would not help everyone."""
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").touch()
    with pytest.raises(DataError) as caught, open_given(tmp_path / "flat", TrainSettings.of(task=task)):
        pass
    assert "no class folders" in caught.value.message and told in str(caught.value.hint)
