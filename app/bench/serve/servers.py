"""The servers of a benchmark: the service, its reference servers and its peers, as child processes.

A peer that cannot run on this machine is reported with the reason and does not end the benchmark.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.bench.processes import LOOPBACK, ChildProcess, find_free_port, run_child
from app.bench.serve.peers.torchserve import PeerMissing, run_torchserve
from app.bench.serve.report import NATIVE_SUFFIX
from app.bench.serve.rounds import Target
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings

NEXTUP = "import sys; from app.commands.main import main; sys.exit(main())"
SERVICE_START_S = 900.0
"""Time to load ten million items on a busy machine."""


@dataclass(frozen=True, slots=True)
class RunningService:
    target: Target
    process: ChildProcess
    start_s: float
    """From the start of the process until every worker is ready."""


@contextmanager
def run_service(settings: Settings, url: str, name: str = "recommend") -> Iterator[RunningService]:
    """Run `nextup serve` on the Redis at `url`, with the caller's environment; ChildFailed if it does not start.

    The artifact is served in place, and the signing key is temporary: both would be in the data folder of the caller.
    """
    port = find_free_port()
    address = ["--host", LOOPBACK, "--port", str(port)]
    model = ["--artifact", str(settings.artifact), "--workers", str(settings.worker_count)]
    started_at = time.monotonic()
    with run_child(
        "nextup serve",
        ["-c", NEXTUP, "serve", *address, *model],
        {
            "NEXTUP_REDIS_URL": url,
            "NEXTUP_ARCHIVE": settings.archive,
            "NEXTUP_COPY_ARTIFACTS": "0",
            "NEXTUP_SIGNING_KEYS": secrets.token_hex(32),
        },
    ) as process:
        process.wait_until_ready(port, "/readyz", settings.worker_count, SERVICE_START_S)
        start_s = time.monotonic() - started_at
        yield RunningService(Target(name, LOOPBACK, port, "/recommend", process, "/events"), process, start_s)


@contextmanager
def run_uvicorn(
    name: str, application: str, workers: int, *, factory: bool, variables: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """Run another application as `nextup serve` runs the service: same server, event loop and HTTP parser."""
    port = find_free_port()
    command = ["-m", "uvicorn", application, "--host", LOOPBACK, "--port", str(port), "--workers", str(workers)]
    options = ["--no-access-log", "--log-level", "warning", "--no-server-header", *(["--factory"] if factory else [])]
    with run_child(name, [*command, *options], variables) as process:
        process.wait_until_ready(port, "/openapi.json", workers)
        yield Target(name, LOOPBACK, port, "/recommend", process)


def start_peers(
    names: Sequence[str], settings: Settings, url: str, torchserve_folder: Path, running: ExitStack
) -> tuple[list[Target], dict[str, str]]:
    """Start peers on the same artifact and Redis; return those that run, and the reasons for those that do not.

    They are stopped with `running`.
    """
    targets: list[Target] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            targets.append(running.enter_context(_run_peer(name, settings, url, torchserve_folder)))
        except (PeerMissing, ChildFailed) as error:
            missing[name] = str(error)
    return targets, missing


def _run_peer(name: str, settings: Settings, url: str, torchserve_folder: Path) -> AbstractContextManager[Target]:
    native = name.endswith(NATIVE_SUFFIX)
    if name.startswith("torchserve"):
        return run_torchserve(name, torchserve_folder, settings.artifact, url, native=native)
    variables = {
        "NEXTUP_REDIS_URL": url,
        "NEXTUP_ARTIFACT": str(settings.artifact),
        "NEXTUP_WORKERS": str(settings.worker_count),
        "NEXTUP_NATIVE": "on" if native else "off",
    }
    application = "app.bench.serve.peers.naive:create_naive"
    return run_uvicorn(name, application, settings.worker_count, factory=True, variables=variables)
