"""Work in threads keeps its order, its bounds and its errors."""

import sys
import time
from pathlib import Path

import pytest

from headstart.threads import map_in_threads, preloading


def test_threads_stay_a_bounded_distance_ahead() -> None:
    """However slow the consumer, only a few items per thread are worked on ahead: memory is bounded."""
    started: list[int] = []
    results = map_in_threads(lambda i: started.append(i) or i, range(1000), workers=2)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(started) <= 4 * 2 + 2
    assert list(results) == list(range(1, 1000))


def test_an_error_in_a_thread_is_raised() -> None:
    """What a thread raises reaches the caller at the place of its item."""
    results = map_in_threads(lambda i: 10 // (3 - i), range(10), workers=2)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_preloading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are imported beside the block; a missing one is told at its end, after the block's own error if it has one."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with preloading("slow_to_import"):
        began = time.monotonic()
    assert time.monotonic() - began >= 0.1
    assert "slow_to_import" in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), preloading("no_such_module"):
        pass
    with pytest.raises(KeyError), preloading("no_such_module"):
        raise KeyError
