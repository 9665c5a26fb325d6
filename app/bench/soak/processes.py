"""The processes of a running service by kind, with their memory and open handles, read from /proc."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from app.bench.resources import list_process_tree, read_process_memory

SUPERVISOR, WORKER, MODEL, REDIS = "supervisor", "worker", "model", "redis"
_WORDS = {"app.worker.process": WORKER, "app.model_server.process": MODEL, "redis-server": REDIS, "valkey": REDIS}
METRICS_VARIABLE = b"PROMETHEUS_MULTIPROC_DIR="


def list_kinds(pid: int) -> dict[str, list[int]]:
    """List the processes of a service by kind, in order of their pids."""
    kinds: dict[str, list[int]] = {SUPERVISOR: [pid]}
    for child in sorted(set(list_process_tree(pid)) - {pid}):
        command = _read(Path(f"/proc/{child}/cmdline")).decode(errors="replace")
        kind = next((kind for word, kind in _WORDS.items() if word in command), None)
        if kind is not None:
            kinds.setdefault(kind, []).append(child)
    return kinds


def count_handles(pid: int) -> int | None:
    """Open files and sockets of a process; None if it has ended."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None


def measure_processes(pid: int, oldest_worker: int) -> Iterator[tuple[str, float]]:
    """Yield one sample of each series: memory and handles by kind, and of the oldest worker."""
    for kind, pids in list_kinds(pid).items():
        members = [oldest_worker] if kind == WORKER else pids[:1]
        for member in members:
            memory, handles = read_process_memory(member), count_handles(member)
            if memory is not None and handles is not None:
                yield f"{kind}_pss_bytes", memory.pss
                yield f"{kind}_rss_bytes", memory.rss
                yield f"{kind}_handles", handles


def find_metrics_folder(worker: int) -> Path | None:
    """Return the folder of shared metrics from the environment of a worker."""
    for variable in _read(Path(f"/proc/{worker}/environ")).split(b"\0"):
        if variable.startswith(METRICS_VARIABLE):
            return Path(variable.removeprefix(METRICS_VARIABLE).decode())
    return None


def _read(file: Path) -> bytes:
    with suppress(OSError):  # the process has ended
        return file.read_bytes()
    return b""
