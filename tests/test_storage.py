"""What is kept is whole or not there, and named by what it holds."""

import errno
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from headstart.storage import (
    CHUNK_BYTES,
    atomic_folder,
    atomic_write,
    home,
    replace_file,
    replace_folder,
    sha256_of_bytes,
    sha256_of_file,
    write_json,
    write_text,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_home_is_where_the_variable_says(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HEADSTART_HOME decides where things are kept, and ~ in it means the user's folder."""
    assert home() == own_home
    monkeypatch.setenv("HEADSTART_HOME", "~/kept")
    assert home() == Path.home() / "kept"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG folders are Linux's")
def test_home_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HEADSTART_HOME the platform's cache folder is used."""
    monkeypatch.delenv("HEADSTART_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert home() == tmp_path / "headstart"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert home() == Path.home() / ".cache" / "headstart"


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_digest_of_file_and_bytes_agree(tmp_path: Path, size: int) -> None:
    """A file's digest is that of its bytes, however many pieces it is read in."""
    data = bytes(i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(data)
    assert sha256_of_file(tmp_path / "file") == sha256_of_bytes(data) == hashlib.sha256(data).hexdigest()


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A write that fails leaves what was there before and nothing beside it."""
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_write_is_seen_only_when_done(tmp_path: Path) -> None:
    """Until the block ends the place is empty; the folders above it are made."""
    place = tmp_path / "new" / "folder" / "a.bin"
    with atomic_write(place) as aside:
        aside.write_bytes(b"whole")
        assert not place.exists()
        assert aside.parent == place.parent
    assert place.read_bytes() == b"whole"
    assert names_in(place.parent) == ["a.bin"]


def test_text_is_utf8_with_newlines_kept(tmp_path: Path) -> None:
    """Text files are UTF-8 with \\n on every platform."""
    write_text(tmp_path / "a.txt", "Käfer\n🐞\n")
    assert (tmp_path / "a.txt").read_bytes() == "Käfer\n🐞\n".encode()


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    """JSON keeps umlauts readable, and NaN is refused without touching the old file."""
    write_json(tmp_path / "a.json", {"Käfer": [1, 2.5]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "Käfer" in text
    assert json.loads(text) == {"Käfer": [1, 2.5]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("there_before", [False, True])
def test_replace_folder(tmp_path: Path, there_before: bool) -> None:
    """The new folder takes the place as a whole: nothing of the old one is mixed in or left beside it."""
    new, place = tmp_path / "new", tmp_path / "place"
    new.mkdir()
    (new / "new.txt").write_text("new")
    if there_before:
        place.mkdir()
        (place / "old.txt").write_text("old")
    replace_folder(new, place)
    assert names_in(place) == ["new.txt"]
    assert names_in(tmp_path) == ["place"]


def test_replace_folder_that_fails_puts_the_old_one_back(tmp_path: Path) -> None:
    """Where the new folder cannot be moved, the old one stays."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "old.txt").write_text("old")
    with pytest.raises(OSError, match="missing"):
        replace_folder(tmp_path / "missing", place)
    assert names_in(place) == ["old.txt"]
    assert names_in(tmp_path) == ["place"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk or changes its name, in order: "sync NAME", "rename NAME"."""
    found: list[str] = []

    def recorded(name: str, call: Callable[..., None], name_of: Callable[..., str]) -> None:
        def record(*arguments: object) -> None:
            found.append(f"{name} {name_of(arguments[0])}")
            call(*arguments)

        monkeypatch.setattr(os, call.__name__, record)

    recorded("sync", os.fsync, lambda number: Path(f"/proc/self/fd/{number}").readlink().name)
    recorded("rename", os.rename, lambda path: Path(path).name)
    recorded("rename", os.replace, lambda path: Path(path).name)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, calls: list[str]) -> None:
    """A power cut leaves the old file or the new one: content first, then the name, then the folder that holds the name."""
    folder = tmp_path / "folder"
    with atomic_write(folder / "a.json") as aside:
        aside.write_text("new")
    assert calls == [f"sync {aside.name}", f"rename {aside.name}", "sync folder"]
    calls.clear()
    replace_file(folder / "a.json", folder / "b.json")
    assert calls == ["sync a.json", "rename a.json", "sync folder"]
    calls.clear()
    with atomic_write(folder / "a.json", durable=False) as aside:
        aside.write_text("new")
    assert calls == [f"rename {aside.name}"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("there_before", [False, True])
def test_a_folder_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, calls: list[str], there_before: bool) -> None:
    """All files and folders in it come first, then its name; an old folder is deleted after that."""
    place = tmp_path / "folder" / "place"
    if there_before:
        place.mkdir(parents=True)
    with atomic_folder(place) as new:
        (new / "inner").mkdir()
        (new / "a.json").write_text("a")
        (new / "inner" / "b.json").write_text("b")
    renames = ["rename place", "rename new"] if there_before else ["rename new"]
    assert sorted(calls[:4]) == ["sync a.json", "sync b.json", "sync inner", "sync new"]
    assert calls[4:] == [*renames, "sync folder"]
    assert names_in(place) == ["a.json", "inner"]


@pytest.mark.parametrize("library", ["python", "safetensors", "pillow"])
def test_a_full_disk_is_an_oserror_that_names_the_file(small_disk: Path, library: str) -> None:
    """Whatever library writes, a full disk raises an OSError with the file's name, and what was there before is kept."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    write = {
        "python": lambda aside: aside.write_bytes(bytes(10**6)),
        "safetensors": lambda aside: safetensors.numpy.save_file({"pixels": pixels}, aside),
        "pillow": lambda aside: Image.fromarray(pixels).save(aside, "PNG"),
    }[library]
    write_text(small_disk / "file", "before")
    with pytest.raises(OSError) as raised, atomic_write(small_disk / "file") as aside:
        write(aside)
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(small_disk / "file")
    assert names_in(small_disk) == ["file"] and (small_disk / "file").read_text() == "before"
