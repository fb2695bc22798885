"""Work in threads keeps its order, its bounds and its errors."""

import time

import pytest

from headstart.threads import map_in_threads


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
