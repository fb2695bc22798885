"""What this process says of itself."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from headstart.machine import peak_rss_mb, seconds_since_start


def test_seconds_count_from_the_start_of_the_process() -> None:
    """The clock includes the interpreter's start-up and goes on with the wall's."""
    before = time.monotonic()
    first = seconds_since_start()
    between = time.monotonic()
    time.sleep(0.05)
    begun = time.monotonic()
    second = seconds_since_start()
    after = time.monotonic()
    assert 0 < first < 86_400
    assert begun - between - 0.02 <= second - first <= after - before + 0.02


@pytest.mark.process
def test_peak_memory_is_in_mebibytes_and_never_falls() -> None:
    """The peak is at least what is used now, grows with a large array and stays when it is gone."""
    assert peak_rss_mb() >= 0.9 * psutil.Process().memory_info().rss / 2**20
    used = psutil.Process().memory_info().rss / 2**20
    block = np.ones(64 << 20, np.uint8)
    assert peak_rss_mb() >= used + 60
    peak = peak_rss_mb()
    assert small_peak() < 60, "a process does not begin with the memory of the one that started it"
    del block
    assert peak_rss_mb() >= peak - 1


def small_peak() -> float:
    """The peak of a process of its own that does nothing."""
    script = "from headstart.machine import peak_rss_mb; print(peak_rss_mb())"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
