"""One process at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.errors import SettingsError
from headstart.locks import locked

# Takes the lock, says so, and holds it until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from headstart.locks import locked
with locked(Path(sys.argv[1]), "a"):
    print("held", flush=True)
    time.sleep(600)
"""
# Takes the lock again and again; counts how often, and checks each time that nobody else is in.
TAKE_TURNS = """
import sys
from pathlib import Path
from headstart.errors import SettingsError
from headstart.locks import locked
lock, inside = Path(sys.argv[1]), Path(sys.argv[2])
taken = 0
while taken < 200:
    try:
        with locked(lock, "a"):
            inside.touch(exist_ok=False)
            inside.unlink()
            taken += 1
    except SettingsError:
        pass
"""


def test_a_lock_is_held_and_released(tmp_path: Path) -> None:
    """While the block runs nobody else gets in, and is told why; afterwards the file is gone, also after an error."""
    lock = tmp_path / "a.lock"
    with locked(lock, "a"):
        with pytest.raises(SettingsError, match="a is being written by another process") as caught, locked(lock, "a"):
            pass
        assert caught.value.hint == "wait until that process has ended"
    assert not lock.exists()
    with pytest.raises(ZeroDivisionError), locked(lock, "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """A lock is held as long as its process lives, and not a moment longer; nothing has to be deleted by hand."""
    lock = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(SettingsError), locked(lock, "a"):
                pass
        finally:
            holder.kill()
    assert lock.exists()
    with locked(lock, "a"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "[]", json.dumps({"machine": "another", "number": 1, "started": 1.0})], ids=["empty", "odd", "old"]
)
def test_a_file_that_was_left_stops_nobody(tmp_path: Path, content: str) -> None:
    """What earlier versions wrote into their lock files, of this machine or another, does not matter."""
    (tmp_path / "a.lock").write_text(content, encoding="utf-8")
    with locked(tmp_path / "a.lock", "a"):
        assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_processes_take_turns(tmp_path: Path) -> None:
    """However often several processes take a lock and remove its file, never are two of them inside."""
    command = [sys.executable, "-c", TAKE_TURNS, tmp_path / "a.lock", tmp_path / "inside"]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in running]
    assert errors == [""] * 3
    assert list(tmp_path.iterdir()) == []
