"""Processes that keep every core busy with idle priority, so that a core runs at one speed at any load.

The cores of a small machine are often threads of one physical core: each is slower while the other one works. A load
generator on the other thread then makes a server slower the more it sends, as nothing on another machine would.

    python -m app.bench.load.busy_core
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from app.runtime.subprocesses import build_child_environment, build_python_command

STOP_S = 5.0


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
            )
            stack.callback(process.wait, STOP_S)
            stack.callback(process.kill)
        yield True


def main() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


if __name__ == "__main__":
    main()
