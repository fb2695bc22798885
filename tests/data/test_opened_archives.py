"""Archives of labelled images: with folders, with tables, unsafe and incomplete ones."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.made_sets import make, parquet, read, rows, table, tarred, zipped
from headstart.data.archives import ENDINGS
from headstart.data.opening import open_sources
from headstart.errors import DataError


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("wrapper", ["", "set/"])
@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".TGZ", ""])
def test_archive_of_folders(tmp_path: Path, pack: Callable[[Path, Path], Path], wrapper: str, ending: str) -> None:
    """An archive reads like the folder in it, whatever its name says, and shows paths as ARCHIVE!member."""
    names = [f"{wrapper}{split}/Käfer 🐞/1.jpg" for split in ("train", "val")]
    archive = pack(make(tmp_path / "content", *names, "__MACOSX/._x"), tmp_path / f"bees and ants{ending}")
    with open_sources(archive) as sources:
        assert rows(sources) == [("1.jpg", "Käfer 🐞", "train"), ("1.jpg", "Käfer 🐞", "val")]
        assert [candidate.path for candidate in sources.candidates] == [f"{archive}!{name}" for name in names]
        assert [candidate.read() for candidate in sources.candidates] == [name.encode() for name in names]
        assert sources.name == "bees and ants"
        kept = sources.candidates[0].file
    assert not kept.exists()


@pytest.mark.parametrize("wrapper", ["", "set/"])
@pytest.mark.parametrize("images", ["", "images/"])
def test_zip_with_a_table(tmp_path: Path, wrapper: str, images: str) -> None:
    """A table in an archive that names paths and labels is what counts, wherever the images lie beside it."""
    content = make(tmp_path / "content", f"{wrapper}{images}1.jpg", f"{wrapper}{images}2.jpg", f"{wrapper}README.md")
    table(content / wrapper, f"path,label\n{images}1.jpg,ants\n{images}2.jpg,bees\n")
    archive = zipped(content, tmp_path / "a.zip")
    with open_sources(archive) as sources:
        assert rows(sources) == [("1.jpg", "ants", None), ("2.jpg", "bees", None)]
        assert sources.candidates[0].path == f"{archive}!{wrapper}{images}1.jpg"
        assert all(candidate.read() for candidate in sources.candidates)
        assert sources.name == "a"


def test_zip_with_classes_and_some_table(tmp_path: Path) -> None:
    """A table of something else beside the class folders does not hide them."""
    content = make(tmp_path / "content", "ants/1.jpg", "bees/1.jpg")
    table(content, "species,count\nants,1\n", "counts.csv")
    assert rows(read(zipped(content, tmp_path / "a.zip"))) == [("1.jpg", "ants", None), ("1.jpg", "bees", None)]


def test_zip_with_parquet(tmp_path: Path) -> None:
    """A Parquet table in an archive is read like a CSV in one."""
    content = make(tmp_path / "content", "1.jpg")
    parquet(content / "labels.parquet", path=["1.jpg"], label=["ants"])
    with open_sources(zipped(content, tmp_path / "a.zip")) as sources:
        assert sources.candidates[0].read() == b"1.jpg"


@pytest.mark.parametrize("path", ["../../secret.jpg", "{outside}", "..\\..\\secret.jpg", "a\0b.jpg"])
def test_table_in_an_archive_stays_in_it(tmp_path: Path, path: str) -> None:
    """A table in an archive cannot name files of this machine."""
    outside = make(tmp_path, "secret.jpg") / "secret.jpg"
    path = path.format(outside=outside)
    content = make(tmp_path / "content", "1.jpg")
    table(content, f"path,label\n1.jpg,ants\n{path},bees\n")
    archive = zipped(content, tmp_path / "a.zip")
    sources = read(archive)
    assert rows(sources) == [("1.jpg", "ants", None)]
    assert [(s.path, s.reason) for s in sources.skipped] == [(f"{archive}!{path}", "its path leads out of the archive")]


def test_unsafe_members_are_told(tmp_path: Path) -> None:
    """What an archive tried to write outside is listed with the skipped files."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("ants/1.jpg", "bees/1.jpg", "../../evil.jpg"):
            file.writestr(name, name)
    sources = read(tmp_path / "a.zip")
    assert [(s.path, s.reason) for s in sources.skipped] == [
        (f"{tmp_path / 'a.zip'}!../../evil.jpg", "its name leads out of the archive")
    ]
    assert len(sources.candidates) == 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_incomplete_archive(tmp_path: Path, ending: str) -> None:
    """The first half of a downloaded archive is told to be damaged, not to be something else."""
    archive = zipped(make(tmp_path / "content", "ants/1.jpg", "bees/1.jpg"), tmp_path / f"a{ending}")
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be opened: it is damaged, incomplete or not readable") as caught:
        read(archive)
    assert caught.value.hint == "copy or download it again"
