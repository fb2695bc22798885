"""What this machine has, and what this process has used so far: seconds since it started and peak memory."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil


def has_cuda() -> bool:
    """Whether there is an NVIDIA GPU and its driver, according to the driver itself: torch would take seconds to answer."""
    try:
        driver: Any = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    n_devices = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(n_devices)) == 0 and n_devices.value > 0


def process_rank() -> int:
    """This process's number among those that torchrun started for one training; 0 alone."""
    return int(os.environ.get("RANK", "0")) if os.environ.get("WORLD_SIZE", "1") != "1" else 0


def local_rank() -> int:
    """This process's number among those that torchrun started on this machine, which is that of its GPU; 0 alone."""
    return int(os.environ.get("LOCAL_RANK", "0")) if os.environ.get("WORLD_SIZE", "1") != "1" else 0


def seconds_since_start() -> float:
    """Wall-clock seconds since this process was started, interpreter start-up included."""
    if Path("/proc/self/stat").exists():  # to a hundredth; psutil adds the time of boot, which is known in whole seconds
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - psutil.Process().create_time()


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MiB, to about a tenth."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage begins with what the parent held when it started this process
        return int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 2**10
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux KiB
