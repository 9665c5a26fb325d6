"""What this machine allows a process, and how many workers suit it where nobody says it: `--workers auto`.

On a CPU one process per core with one compute thread each: measured better than fewer processes with more threads
(DECISIONS.md). On a GPU one process owns the device, and workers without a model ask it. It starts no process.
"""

import os
from pathlib import Path
from typing import Literal

from app.model_repository.repository import ModelRepository

BASE_BYTES = 450_000_000
"""Of a worker before it has a model, torch for the most part."""
COPIES = 2.0
"""A loaded artifact against its files: weights once, the catalogue's text as Python objects."""
MAX_WORKERS_PER_MODEL = 4
"""More HTTP workers than one model's process can answer (DECISIONS.md)."""
MEMORY_SHARE = 0.7
"""Of the memory that is free; Redis and the page cache live here too."""


def choose_worker_count(artifact: Path, device: str, *, inside: bool = False) -> int:
    """At least 1; `artifact` need not be there yet. `inside`: the model has to be inside every worker."""
    if has_gpu(device):
        return 1 if inside else max(1, min(count_cores() - 1, MAX_WORKERS_PER_MODEL))
    try:
        folder = ModelRepository(artifact).find_target_folder()
    except ValueError:
        folder = artifact
    files = sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    fitting = int(MEMORY_SHARE * _free_bytes() / (BASE_BYTES + COPIES * files))
    return max(1, min(count_cores(), fitting))


def resolve_model_process(wish: str, device: str, workers: int) -> Literal["inside", "own"]:
    """Where the model runs; several workers on one GPU would each need its memory, and disturb each other's batches."""
    if wish == "auto":
        return "own" if workers > 1 and has_gpu(device) else "inside"
    return "own" if wish == "own" else "inside"


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


def _free_bytes() -> int:
    """Of the machine, or what the control group leaves if that is less."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError, StopIteration):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))
