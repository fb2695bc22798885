"""What this process has used so far: seconds since it started, peak memory."""

import sys
import time

import psutil


def seconds_since_start() -> float:
    """Wall-clock seconds since this process was started, interpreter start-up included."""
    return time.time() - psutil.Process().create_time()


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux KiB
