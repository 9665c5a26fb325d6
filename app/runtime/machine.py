"""What this machine allows a process: processor cores, memory limits, and whether there is a GPU."""

import os
from pathlib import Path


def has_gpu(device: str) -> bool:
    """Whether the model will run on one, as far as can be told without torch."""
    return device == "cuda" or (device == "auto" and Path("/dev/nvidia0").exists())


def count_cores() -> int:
    """That this process may use: of its affinity, and not more than its control group's quota, rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _quota(Path("/sys/fs/cgroup/cpu.max"), count)))


def read_memory_limit(group: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """What this process and those of its control group may use: what the group is given, and not more than there is."""
    there_is = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = group.read_text().strip()
        return there_is if limit == "max" else min(there_is, int(limit))
    except (OSError, ValueError):
        return there_is


def _quota(path: Path, otherwise: int) -> int:
    """`cpu.max` holds microseconds per period, or "max"."""
    try:
        quota, period = path.read_text().split()
        return otherwise if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return otherwise


def read_free_memory() -> int:
    """Free bytes of the machine, or of the control group if that is less."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError, StopIteration):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))
