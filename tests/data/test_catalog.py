"""Data sets known by name: found where they are, fetched where they are not, checked always."""

import io
import socket
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from conftest import FileServer

from headstart.data.catalog import HYMENOPTERA_FILES, NAMES, elpv_sources, find_hymenoptera, hymenoptera_folder, open_data
from headstart.errors import DataError
from headstart.storage import home


def hymenoptera_zip(files: dict[tuple[str, str], int] = HYMENOPTERA_FILES) -> bytes:
    """A zip laid out as the tutorial's, with empty photographs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for (split, label), count in files.items():
            for i in range(count):
                file.writestr(f"hymenoptera_data/{split}/{label}/{i}.jpg", b"")
    return buffer.getvalue()


def small_copy(folder: Path) -> Path:
    for split in ("train", "val"):
        for label in ("ants", "bees"):
            (folder / split / label).mkdir(parents=True)
            (folder / split / label / "1.jpg").write_bytes(b"")
    return folder


def test_hymenoptera_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEADSTART_HYMENOPTERA names a copy, offline too."""
    folder = small_copy(tmp_path / "my copy")
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(folder))
    with open_data("hymenoptera", offline=True) as sources:
        counts = Counter((candidate.split, candidate.label) for candidate in sources.candidates)
    assert counts == {(split, label): 1 for split in ("train", "val") for label in ("ants", "bees")}


def test_hymenoptera_from_a_zip_in_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy may be the zip itself."""
    (tmp_path / "set.zip").write_bytes(hymenoptera_zip())
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(tmp_path / "set.zip"))
    with open_data("hymenoptera", offline=True) as sources:
        assert len(sources.candidates) == 398


def test_variable_that_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong HEADSTART_HYMENOPTERA is an error, not a silent download."""
    monkeypatch.setenv("HEADSTART_HYMENOPTERA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"HEADSTART_HYMENOPTERA is .*nowhere, which does not exist") as caught:
        find_hymenoptera()
    assert caught.value.hint == "set it to the folder or the zip"


def test_hymenoptera_from_home() -> None:
    """What was fetched once is found again without a network."""
    assert find_hymenoptera() is None
    kept = small_copy(home() / "data" / "hymenoptera_data")
    assert find_hymenoptera() == hymenoptera_folder(offline=True) == kept


def test_hymenoptera_is_fetched_once(file_server: FileServer) -> None:
    """The zip is downloaded, checked, unpacked under home() and removed; the second call needs no server."""
    file_server.content = hymenoptera_zip()
    folder = hymenoptera_folder(url=file_server.url)
    assert folder == home() / "data" / "hymenoptera_data"
    assert len(list(folder.glob("*/*/*.jpg"))) == 398
    assert sorted(path.name for path in folder.parent.iterdir()) == ["hymenoptera_data"]
    assert list((home() / "downloads").iterdir()) == []
    assert hymenoptera_folder(url=file_server.url) == folder
    assert len(file_server.asked) == 1


def test_hymenoptera_goes_on_after_a_break(file_server: FileServer) -> None:
    """A download that breaks again and again goes on with the next call."""
    file_server.content = hymenoptera_zip()
    file_server.breaks = [5_000] * 3
    with pytest.raises(DataError, match=r"hymenoptera cannot be fetched: .* cannot be reached"):
        hymenoptera_folder(url=file_server.url)
    assert hymenoptera_folder(url=file_server.url).is_dir()
    assert file_server.asked[-1] == "bytes=15000-"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>Please log in to the guest network</html>", "sent is not a zip archive"),
        (hymenoptera_zip({("train", "ants"): 2}), "sent is not the data set of the tutorial"),
        (hymenoptera_zip({**HYMENOPTERA_FILES, ("val", "bees"): 82}), "sent is not the data set of the tutorial"),
    ],
    ids=["login page", "another set", "one photograph less"],
)
def test_wrong_download_leaves_nothing(file_server: FileServer, content: bytes, sentence: str) -> None:
    """What is not the tutorial's set is refused and removed, and the next try starts afresh."""
    file_server.content = content
    with pytest.raises(DataError, match=sentence) as caught:
        hymenoptera_folder(url=file_server.url)
    assert caught.value.hint.startswith("set HEADSTART_HYMENOPTERA to a copy")
    assert [path for path in home().rglob("*") if path.is_file()] == []
    file_server.content = hymenoptera_zip()
    assert hymenoptera_folder(url=file_server.url).is_dir()


def test_damaged_download_leaves_nothing(file_server: FileServer) -> None:
    """A zip that broke on the way is refused and removed as well."""
    data = bytearray(hymenoptera_zip())
    data[30:40] = b"\0" * 10
    file_server.content = bytes(data)
    with pytest.raises(DataError, match="cannot be unpacked"):
        hymenoptera_folder(url=file_server.url)
    assert [path for path in home().rglob("*") if path.is_file()] == []


def test_offline() -> None:
    """Offline and not at hand: an error that says both ways out."""
    with pytest.raises(DataError) as caught, open_data("hymenoptera", offline=True):
        pass
    assert caught.value.message == "the data set hymenoptera is not on this machine (offline)"
    assert caught.value.hint == "set HEADSTART_HYMENOPTERA to a copy of hymenoptera_data, or try the data set elpv"


def test_no_network() -> None:
    """A server that cannot be reached gives the same way out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(DataError, match=r"hymenoptera cannot be fetched: http.* cannot be reached") as caught:
        hymenoptera_folder(url=f"http://127.0.0.1:{port}/x.zip")
    assert "or try the data set elpv" in caught.value.hint


def test_elpv_from_the_installed_package() -> None:
    """All 2,624 cells with their labels: defective from a probability of one half on; each file is there."""
    pytest.importorskip("elpv_dataset")
    sources = elpv_sources()
    assert sources.name == "elpv"
    assert len(sources.candidates) == 2_624
    assert Counter(candidate.label for candidate in sources.candidates) == {"functional": 1_803, "defective": 821}
    assert len({candidate.file for candidate in sources.candidates}) == 2_624
    assert all(candidate.file.is_file() for candidate in sources.candidates)
    with open_data("elpv") as again:
        assert again == sources


@pytest.mark.parametrize("name", NAMES)
def test_existing_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A folder of a catalog name is meant before the catalog's data set."""
    small_copy(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_data(name, offline=True) as sources:
        assert len(sources.candidates) == 4


@pytest.mark.parametrize(("name", "near"), [("hymenoptra", "did you mean hymenoptera?"), ("xyz", "one of: hymenoptera, elpv")])
def test_unknown_name(name: str, near: str) -> None:
    """A word that is neither a path nor a name is answered with both possibilities."""
    with pytest.raises(DataError) as caught, open_data(name):
        pass
    assert caught.value.message == f"there is no {name} here, and no data set of that name"
    assert caught.value.hint == f"give a folder, a table, an archive, or a catalog name; {near}"


@pytest.mark.parametrize("path", ["some/folder", "set.zip", "labels.csv"])
def test_missing_path(path: str) -> None:
    """What looks like a path is told to be missing."""
    with pytest.raises(DataError, match=f"there is no {path}$|there is no {path} "), open_data(path):
        pass


def test_the_real_photographs(shared: Path) -> None:
    """The tutorial's own files are all found, by class and split."""
    with open_data(shared / "hymenoptera_data") as sources:
        assert Counter((candidate.split, candidate.label) for candidate in sources.candidates) == HYMENOPTERA_FILES
