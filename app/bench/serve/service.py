"""The real service as a benchmark starts it: `nextup serve`, as the user's environment sets it, on a given Redis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.bench.processes import LOOPBACK, ChildProcess, find_free_port, run_child
from app.bench.serve.rounds import Target
from app.settings import Settings

SERVE = "import sys; from app.commands.main import main; sys.exit(main())"
LONGEST_S = 900.0
"""Until it is ready: ten million items, on a machine that has other things to do."""


@dataclass(frozen=True, slots=True)
class RunningService:
    target: Target
    process: ChildProcess
    seconds: float
    """From the start of the process until every worker is ready."""


@contextmanager
def run_service(settings: Settings, url: str, name: str = "recommend") -> Iterator[RunningService]:
    """ChildFailed if it does not come up; it is ended with the block."""
    port = find_free_port()
    where = ["--host", LOOPBACK, "--port", str(port)]
    what = ["--artifact", str(settings.artifact), "--workers", str(settings.worker_count)]
    began = time.monotonic()
    with run_child("nextup serve", ["-c", SERVE, "serve", *where, *what], {"NEXTUP_REDIS_URL": url}) as process:
        process.wait_until_ready(port, "/readyz", settings.worker_count, LONGEST_S)
        seconds = time.monotonic() - began
        yield RunningService(Target(name, LOOPBACK, port, "/recommend", process, "/events"), process, seconds)
