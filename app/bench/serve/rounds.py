"""One round of load on one server, sent by a separate load generator process."""

from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from app.bench.load.profile import LoadProfile, LoadResult
from app.bench.processes import ChildProcess
from app.bench.resources import read_cpu_seconds
from app.runtime.subprocesses import run_module

GENERATOR_MARGIN_S = 60.0  # to start, connect and return results on a busy machine
DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: one of this benchmark (`process`), or one that is already running elsewhere."""

    name: str
    host: str
    port: int
    path: str
    process: ChildProcess | None = None
    events_path: str | None = None
    """Path for writes; None if the server accepts none and is sent reads only."""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Parse the URL of a running service; ValueError if it is not plain `http://host:port`."""
        parts = urlsplit(url)
        try:
            port = parts.port or DEFAULT_PORT
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port or parts.query or parts.fragment:
            raise ValueError(f"--url must be http://host:port, with or without a path before /recommend (got {url})")
        return cls("recommend", parts.hostname, port, parts.path.rstrip("/") + "/recommend")


@dataclass(frozen=True, slots=True)
class Round:
    result: LoadResult
    server_cpu_s: float | None
    """CPU time of the server's processes for all responses; None if the server was not started here."""


def run_round(target: Target, profile: LoadProfile) -> Round:
    """Run `profile` against `target`, which replaces host, port and paths; ChildFailed if the server ends."""
    cpu_before = read_cpu_seconds(target.process.pid) if target.process else None
    profile = replace(profile, host=target.host, port=target.port, path=target.path)
    if target.events_path is None:
        profile = replace(profile, write_share=0.0)
    else:
        profile = replace(profile, events_path=target.events_path)
    result = run_generator(profile)
    cpu_after = read_cpu_seconds(target.process.pid) if target.process else None
    if target.process:
        target.process.check_running()
    return Round(result, None if cpu_before is None or cpu_after is None else cpu_after - cpu_before)


def run_generator(profile: LoadProfile) -> LoadResult:
    """Run a profile in a separate process, which has ended when this returns or raises."""
    timeout_s = profile.warm_up_s + profile.seconds + 2 * profile.timeout_s + GENERATOR_MARGIN_S
    output = run_module("app.bench.load.generator", stdin=profile.to_bytes(), timeout_s=timeout_s)
    return LoadResult.from_bytes(output)
