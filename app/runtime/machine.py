"""Resources that this machine allows a process: processor cores, memory, and whether there is a GPU."""

import os
from pathlib import Path


def has_gpu(device: str) -> bool:
    """Check whether the model will run on a GPU, without importing torch."""
    return device == "cuda" or (device == "auto" and Path("/dev/nvidia0").exists())


def count_cores() -> int:
    """Count the cores of the process's affinity, limited by its control group's quota, rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, read_cpu_quota(count)))


def read_memory_limit(group: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Read the memory limit of the control group in bytes, at most the machine's memory."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = group.read_text().strip()
        return total if limit == "max" else min(total, int(limit))
    except (OSError, ValueError):
        return total


def read_cpu_quota(default: int, group: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Read the cores of the control group; `cpu.max` holds microseconds per period, or "max"."""
    try:
        quota, period = group.read_text().split()
        return default if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return default


def read_free_memory() -> int:
    """Read the free memory of the machine in bytes, or that of the control group if it is less."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError, StopIteration):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))
