"""Requests that fail in passing are made again, after a pause that grows."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
TRIES = 7  # all pauses together are some six seconds: an address may be mistyped
PATIENT_TRIES = 11  # some twenty-five: of what was there a moment ago
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds


def with_retries(request: Callable[[], T], is_passing: Callable[[Exception], bool], tries: int = TRIES) -> T:
    """What a request returns; made again while it fails with what is passing. Raises what the last one raised."""
    for number in range(tries):
        try:
            return request()
        except Exception as error:
            if number == tries - 1 or not is_passing(error):
                raise
        # A share at random: many workers that failed together should not come again together.
        time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) * (0.5 + random.random()))
    raise AssertionError("unreachable")
