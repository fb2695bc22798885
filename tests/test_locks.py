"""One process at a time."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from headstart.errors import SettingsError
from headstart.locks import locked
from headstart.machine import ProcessMark

OWN_MARK = """
import json
from dataclasses import asdict
from headstart.machine import ProcessMark
print(json.dumps(asdict(ProcessMark.own())))
"""


@pytest.fixture
def ended() -> ProcessMark:
    """The mark of a process that has ended."""
    ran = subprocess.run([sys.executable, "-c", OWN_MARK], capture_output=True, encoding="utf-8", check=True)
    return ProcessMark(**json.loads(ran.stdout))


def test_a_lock_is_held_and_released(tmp_path: Path) -> None:
    """While the block runs nobody else gets in, and is told why; afterwards the file is gone, also after an error."""
    lock = tmp_path / "a.lock"
    with locked(lock, "a"):
        with pytest.raises(SettingsError, match="a is being written by another process") as caught, locked(lock, "a"):
            pass
        assert str(lock) in caught.value.hint
    assert not lock.exists()
    with pytest.raises(ZeroDivisionError), locked(lock, "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_an_ended_process_is_taken_over(tmp_path: Path, ended: ProcessMark) -> None:
    """So is one of a process whose number another process has now."""
    for mark in (ended, replace(ProcessMark.own(), started=1.0)):
        (tmp_path / "a.lock").write_text(json.dumps(asdict(mark)), encoding="utf-8")
        with locked(tmp_path / "a.lock", "a"):
            assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]
        assert list(tmp_path.iterdir()) == []


def test_a_lock_that_may_be_held_is_left_alone(tmp_path: Path, ended: ProcessMark) -> None:
    """A process of another machine cannot be asked, and an empty lock is only just being made."""
    for content in (json.dumps(asdict(replace(ended, machine="another"))), "", "[]", "{}"):
        (tmp_path / "a.lock").write_text(content, encoding="utf-8")
        with pytest.raises(SettingsError), locked(tmp_path / "a.lock", "a"):
            pass
        assert (tmp_path / "a.lock").read_text(encoding="utf-8") == content
