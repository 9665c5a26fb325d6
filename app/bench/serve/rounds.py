"""Rounds of load on several servers, taken in turn, so that a machine which slows down slows all of them.

Knows the order of the rounds and how a round is run: by a generator process of its own. What is asked and how it is
told is with the caller and in `report.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from app.bench.load.profile import LoadProfile, LoadResult
from app.bench.processes import LOOPBACK, ChildProcess, find_free_port, run_child
from app.bench.resources import read_cpu_seconds
from app.runtime.subprocesses import run_module

GENERATOR_SPARE_S = 60.0  # to start, to connect and to hand over, on a machine that is busy


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: a server of this benchmark (`process`), or one that somebody else runs."""

    name: str
    host: str
    port: int
    path: str
    process: ChildProcess | None = None
    events_path: str | None = None
    """Where writes go; None: it takes none, and is asked for reads alone."""


@dataclass(frozen=True, slots=True)
class Round:
    tally: LoadResult
    server_cpu_s: float | None
    """CPU time of the server's processes for all answers of the round; None if it is not ours to look at."""


def run_interleaved(
    targets: Sequence[Target], plan: LoadProfile, rounds: int, finished: Callable[[Target, Round], None]
) -> Mapping[str, list[Round]]:
    """`rounds` rounds of each target as the plan says (but for where it goes): A, B, A, B, …"""
    taken: dict[str, list[Round]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            one = run_round(target, plan)
            taken[target.name].append(one)
            finished(target, one)
    return taken


def run_round(target: Target, plan: LoadProfile) -> Round:
    before = read_cpu_seconds(target.process.pid) if target.process else None
    plan = replace(plan, host=target.host, port=target.port, path=target.path)
    if target.events_path is None:
        plan = replace(plan, write_share=0.0)
    else:
        plan = replace(plan, events_path=target.events_path)
    tally = run_generator(plan)
    after = read_cpu_seconds(target.process.pid) if target.process else None
    if target.process:
        target.process.check_running()
    return Round(tally, None if before is None or after is None else after - before)


def run_generator(plan: LoadProfile) -> LoadResult:
    """One plan in a process of its own, which is gone when this returns or raises."""
    longest = plan.warm_up_s + plan.seconds + 2 * plan.timeout_s + GENERATOR_SPARE_S
    return LoadResult.from_bytes(run_module("app.bench.load.generator", stdin=plan.to_bytes(), timeout_s=longest))


@contextmanager
def run_uvicorn(
    name: str, application: str, workers: int, *, factory: bool, variables: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """A yardstick or a peer, run as `nextup serve` runs the service: same server, same loop, same parser."""
    port = find_free_port()
    command = ["-m", "uvicorn", application, "--host", LOOPBACK, "--port", str(port), "--workers", str(workers)]
    options = ["--no-access-log", "--log-level", "warning", "--no-server-header", *(["--factory"] if factory else [])]
    with run_child(name, [*command, *options], variables) as process:
        process.wait_until_ready(port, "/openapi.json", workers)
        yield Target(name, LOOPBACK, port, "/recommend", process)
