"""The peers that `nextup bench serve` measures beside the service, started on the same artifact and the same Redis.

A peer that cannot run here is told with the reason and does not end the benchmark.
"""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from app.bench.serve.peers.torchserve import PeerMissing, torchserve
from app.bench.serve.report import NATIVE, PEERS
from app.bench.serve.rounds import Target, run_uvicorn
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings


def parse_peers(text: str) -> list[str]:
    """Names separated by commas; ValueError for another one."""
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        raise ValueError(f"--peers has {unknown[0]!r}; there are {', '.join(PEERS)}")
    return list(dict.fromkeys(names))


def start_peers(
    names: list[str], settings: Settings, url: str, environment: Path, running: ExitStack
) -> tuple[list[Target], dict[str, str]]:
    """Those that run, and why the others do not; they are ended with `running`."""
    found: list[Target] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            found.append(running.enter_context(_peer(name, settings, url, environment)))
        except (PeerMissing, ChildFailed) as error:
            missing[name] = str(error)
    return found, missing


def _peer(name: str, settings: Settings, url: str, environment: Path) -> AbstractContextManager[Target]:
    native = name.endswith(NATIVE)
    if name.startswith("torchserve"):
        return torchserve(name, environment, settings.artifact, url, native=native)
    variables = {
        "NEXTUP_REDIS_URL": url,
        "NEXTUP_ARTIFACT": str(settings.artifact),
        "NEXTUP_WORKERS": str(settings.worker_count),
        "NEXTUP_NATIVE": "on" if native else "off",
    }
    naive = "app.bench.serve.peers.naive:create_naive"
    return run_uvicorn(name, naive, settings.worker_count, factory=True, variables=variables)
