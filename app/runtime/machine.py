"""Resources that this machine allows a process: processor cores, memory, and whether there is a GPU."""

import os
import sys
from pathlib import Path

UNKNOWN_MEMORY_BYTES = 8_000_000_000
"""Assumed where the system does not report its memory."""
DEFAULT_FILE_LIMIT = 1024


def has_gpu(device: str) -> bool:
    """Check whether the model will run on a GPU, without importing torch."""
    return device == "cuda" or (device == "auto" and Path("/dev/nvidia0").exists())


def count_cores() -> int:
    """Count the cores of the process's affinity, limited by its control group's quota, rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, read_cpu_quota(count)))


def read_file_limit() -> int:
    """Read how many files and sockets this process may have open."""
    try:
        import resource  # not on Windows
    except ImportError:
        return DEFAULT_FILE_LIMIT
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def read_memory_limit(group: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Read the memory limit of the control group in bytes, at most the machine's memory."""
    total = _read_total_memory()
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
    """Read the free memory of the machine in bytes, or that of the control group if it is less.

    Half of the machine's memory where the system does not report what is free, as on macOS.
    """
    free = _read_pages("SC_AVPHYS_PAGES") or _read_total_memory() // 2
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError, StopIteration):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))


def _read_total_memory() -> int:
    return _read_pages("SC_PHYS_PAGES") or UNKNOWN_MEMORY_BYTES


def _read_pages(name: str) -> int | None:
    """Bytes of a number of pages; None where the system does not have this number."""
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def read_resident_memory() -> int:
    """Read the resident memory of this process in bytes; its peak where there is no /proc, as on macOS."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak  # bytes on macOS, kilobytes elsewhere
