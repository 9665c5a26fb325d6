"""Processes that keep every core busy with idle priority, so that a core runs at one speed at any load.

The cores of a small machine are often threads of one physical core: each is slower while the other one works. A load
generator on the other thread then makes a server slower the more it sends, as nothing on another machine would.

Idle priority counts only within a group of tasks, and Linux groups tasks by session (`man 7 sched`, autogroup): in the
session of the benchmark, such a process takes time from a service of another session. So each has a session of its own.

    python -m app.bench.load.busy_core
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.runtime.subprocesses import build_child_environment, build_python_command

STOP_S = 5.0
AUTOGROUP = Path("/proc/self/autogroup")
TRIES, PAUSE_S = 50, 0.15
"""For the share of a session: only root may set more than ten of them per second on one machine."""


@contextmanager
def keep_cores_busy() -> Iterator[bool]:
    """Keep each core busy until the block ends; yields False on systems without an idle priority."""
    if not hasattr(os, "SCHED_IDLE"):
        yield False
        return
    with ExitStack() as stack:
        for _ in range(len(os.sched_getaffinity(0))):
            process = subprocess.Popen(  # noqa: S603 - this interpreter with our own module
                build_python_command(["-m", "app.bench.load.busy_core"]),
                stdin=subprocess.DEVNULL,
                env=build_child_environment(),
                start_new_session=True,
            )
            stack.callback(process.wait, STOP_S)
            stack.callback(process.kill)
        yield True


def main() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _take_least_share()
    while True:
        pass


def _take_least_share() -> None:
    """Give the group of this session the least share of its core, where the kernel has such groups."""
    for _ in range(TRIES):
        try:
            AUTOGROUP.write_text("19")
        except BlockingIOError:
            time.sleep(PAUSE_S)
        except OSError:
            return
        else:
            return


if __name__ == "__main__":
    main()
