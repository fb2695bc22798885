"""A file of a label log that is damaged, another program's, newer, or where nobody may write is told in a sentence."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from data.made_decisions import ANTS, BEES, UNLABELLED, change, opened
from headstart.data.label_log import LabelLog
from headstart.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


def written(file: Path, count: int = 400) -> None:
    """A log with some pages of content."""
    with opened(file) as log:
        for number in range(0, count, 100):
            log.decide([change(n, UNLABELLED, ANTS) for n in range(number, number + 100)], who="a", why="label")


def refused(file: Path) -> DataError:
    """The error that the file gives when it is opened or read."""
    with pytest.raises(DataError) as caught, LabelLog.open(file) as log:
        log.digest()
    assert caught.value.hint
    assert str(file) in caught.value.message
    return caught.value


def test_no_database(file: Path) -> None:
    """A file of another kind is told, and is left as it is."""
    file.write_bytes(b"path,label\n" * 1000)
    assert "is damaged" in refused(file).message
    assert file.read_bytes() == b"path,label\n" * 1000


def test_a_database_of_another_program(file: Path) -> None:
    """An SQLite file of another program is told, and is left as it is."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE labels (a)")
    before = file.read_bytes()
    assert "of another program" in refused(file).message
    assert file.read_bytes() == before


def test_a_newer_format(file: Path) -> None:
    """A log of a later version is refused with what to do."""
    written(file)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 2")
    error = refused(file)
    assert "has format 2; this version of headstart reads up to 1" in error.message
    assert error.hint == "pip install --upgrade headstart"


def test_a_truncated_file(file: Path) -> None:
    """A file that lacks its end is told, wherever it ends; one that is empty is a new log."""
    written(file)
    whole = file.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert "is damaged" in refused(file).message
    file.write_bytes(b"")
    with LabelLog.open(file) as log:
        assert log.last == 0


def test_damaged_bytes(file: Path) -> None:
    """A byte that changed in the middle is told at the latest where the digest is asked for, or it changed nothing."""
    written(file)
    whole = file.read_bytes()
    with LabelLog.open(file) as log:
        right = (log.digest(), log.states())
    n_told = 0
    for place in range(100, len(whole), len(whole) // 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with LabelLog.open(file) as log:
                assert (log.digest(), log.states()) == right
        except DataError as error:
            assert error.hint
            n_told += 1
    assert n_told > 30


def test_a_changed_entry(file: Path) -> None:
    """The tables refuse changes; where somebody forces one, the digest says so."""
    written(file)
    with closing(sqlite3.connect(file)) as database:
        for statement in ("UPDATE changes SET new_label = 'bees' WHERE id = 7", "DELETE FROM decisions WHERE number = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
                database.execute(statement)
        database.execute("DROP TRIGGER no_update_of_changes")
        database.execute("UPDATE changes SET new_label = 'bees' WHERE id = 150")
        database.commit()
    assert "decision 2 is not what was written" in refused(file).message


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, and a log that is not there and not to be made, are told; nothing is made."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is not a file"):
        LabelLog.open(tmp_path / "folder")
    with pytest.raises(DataError, match="there are no labels in"):
        LabelLog.open(tmp_path / "none.sqlite", create=False)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_written_to(folder_of_nobody: Path) -> None:
    """A log that somebody else has written can be read where this user may not write, and the error for writing says why."""
    folder = folder_of_nobody / "project"
    folder.mkdir()
    written(folder / "labels.sqlite")
    (folder / "labels.sqlite").chmod(0o444)
    folder.chmod(0o555)
    with LabelLog.open(folder / "labels.sqlite", create=False) as log:
        assert len(log.states()) == 400
        log.digest()
        with pytest.raises(DataError, match="cannot be used") as caught:
            log.decide([change(1, ANTS, BEES)], who="a", why="label")
    assert caught.value.hint
    with pytest.raises(DataError, match="cannot be used"):
        LabelLog.open(folder / "new.sqlite")
    assert [path.name for path in folder.iterdir()] == ["labels.sqlite"]
    folder.chmod(0o755)


def test_a_full_disk(small_disk: Path) -> None:
    """A decision that does not fit on the disk is told, and those before it are kept."""
    file = small_disk / "labels.sqlite"
    kept = -1
    with pytest.raises(DataError, match="the disk is full") as caught, LabelLog.open(file) as log:
        for number in range(1000):
            log.decide([change(number, UNLABELLED, ANTS)], who="a", why="label")
            kept = number
    assert caught.value.hint
    with pytest.raises(DataError, match="the disk is full"):
        LabelLog.open(small_disk / "other.sqlite")
    if kept >= 0:
        (small_disk / "other.sqlite").unlink(missing_ok=True)
        with LabelLog.open(file, create=False) as log:
            assert len(log.states()) == kept + 1
