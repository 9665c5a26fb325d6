"""The processes of a running `nextup serve`, found in /proc."""

from contextlib import suppress
from pathlib import Path

from service_tests.support.nextup_process import RunningService

WORKER, MODEL, REDIS = b"app.worker.process", b"app.model_server.process", b"redis-server"


def find_processes(service: RunningService, word: bytes) -> list[int]:
    """Pids of the children of the service that have `word` in their command line."""
    files = Path(f"/proc/{service.process.pid}/task").glob("*/children")  # threads have children too
    pids = sorted({int(pid) for file in files for pid in _read(file).split()})
    return [pid for pid in pids if word in _read(Path(f"/proc/{pid}/cmdline"))]


def is_running(pid: int) -> bool:
    """Whether a process exists with a thread that has not ended.

    The main thread is a zombie before the others have ended, and until then the process keeps its sockets.
    """
    return any(_read_state(path) not in (b"", b"Z", b"X") for path in Path(f"/proc/{pid}/task").glob("*/stat"))


def _read_state(stat: Path) -> bytes:
    """Read the state of a thread; empty if it is gone."""
    return _read(stat).rpartition(b")")[2].strip()[:1]


def count_sockets(pid: int) -> int:
    """Sockets that a process has open."""
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            count += str(file.readlink()).startswith("socket:")
    return count


def _read(file: Path) -> bytes:
    """Return nothing for a process that ended after it was listed."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
