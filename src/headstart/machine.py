"""Whether this machine has a GPU; the rank of this process, its priority, run time and peak memory."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

NICENESS = 10


def has_cuda() -> bool:
    """Whether there is an NVIDIA GPU with its driver. Asks the driver directly: importing torch would take seconds."""
    try:
        driver: Any = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    n_devices = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(n_devices)) == 0 and n_devices.value > 0


def n_processes() -> int:
    """How many processes torchrun started for one training run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_rank() -> int:
    """The rank of this process among those that torchrun started for one training run; 0 without torchrun."""
    return int(os.environ.get("RANK", "0")) if n_processes() > 1 else 0


def local_rank() -> int:
    """The rank of this process among those that torchrun started on this machine, and its GPU's number; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0")) if n_processes() > 1 else 0


def seconds_since_start() -> float:
    """Wall-clock seconds since this process was started, including interpreter start-up."""
    if Path("/proc/self/stat").exists():  # exact to 0.01 s; psutil adds the boot time, which is in whole seconds
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - psutil.Process().create_time()


def step_back() -> None:
    """Lets other processes go first from now on, wherever they want the processor as well."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(NICENESS)


def peak_rss_mb() -> float:
    """Peak resident memory of this process so far, in MiB, to about a tenth."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage starts from the parent's memory when it started this process
        return int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 2**10
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # macOS counts bytes, Linux KiB
