"""How long a process has been idle: no thread has run, been ready to run, or waited for a disk.

A process that should answer and is idle hangs. One that is slow because the machine is overloaded is not idle, because
its threads are ready to run, so a short silence suffices to tell the two apart. Linux only: elsewhere nothing is idle.
"""

from pathlib import Path

BUSY_STATES = frozenset("RDt")
"""Running or ready, waiting for a disk, stopped by a debugger (`man 5 proc_pid_stat`)."""
MAX_CPU_SHARE = 0.1
"""Threads that wait for the GIL wake up now and then."""
MAX_GAP_S = 0.5
"""A longer time between two looks counts as this much, because the whole machine may have been suspended."""


class IdleTime:
    """Adds up the idle time of a process between calls of `update`."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._looked_at: float | None = None
        self._cpu_ns = 0
        self._idle_s = 0.0

    def update(self, now: float) -> float:
        """Look at the process, at the monotonic time `now`; return for how many seconds it has been idle."""
        gap_s = 0.0 if self._looked_at is None else now - self._looked_at
        is_busy, cpu_ns = self._read()
        is_idle = not is_busy and cpu_ns - self._cpu_ns <= MAX_CPU_SHARE * gap_s * 1e9
        self._idle_s = self._idle_s + min(gap_s, MAX_GAP_S) if is_idle else 0.0
        self._looked_at, self._cpu_ns = now, cpu_ns
        return self._idle_s

    def _read(self) -> tuple[bool, int]:
        """Return whether any thread is busy, and the nanoseconds of CPU that the process has used."""
        cpu_ns = threads = 0
        try:
            for task in self._tasks.iterdir():
                # The name of the thread may contain spaces and brackets.
                state = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                if state in BUSY_STATES:
                    return True, self._cpu_ns
                cpu_ns += int((task / "schedstat").read_text().split()[0])
                threads += 1
        except (OSError, ValueError, IndexError):  # a thread has just ended, or the system does not report it
            return True, self._cpu_ns
        return threads == 0, cpu_ns
