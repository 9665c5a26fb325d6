"""`nextup bench serve`: the real service under load, in turn with a bare FastAPI echo.

Knows which processes to start, and whose histories are asked for; how load is made and told is in app/bench.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from app.bench.plan import Plan
from app.bench.processes import LOOPBACK, ChildFailed, child, free_port
from app.bench.report import figures, machine_line, missed, remarks, summarise, table
from app.bench.serving import Round, Target, run_round, take_turns, uvicorn_beside
from app.commands.bench_histories import store_with_histories, stored_users
from app.commands.log_files import add_log_arguments
from app.settings import Settings
from models.progress import progress

BODIES = 20_000
WARM_UP_S = 1.0
CEILING_S = 3.0
TIMEOUT_S = 10.0
SERVE = "import sys; from app.commands.main import main; sys.exit(main())"


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(
        parser,
        nargs="*",
        told="a log whose histories are asked for, in a store made for it; none: the histories in the store as set",
    )
    parser.add_argument("--artifact", type=Path, metavar="DIR", help="folder of the artifact (NEXTUP_ARTIFACT)")
    parser.add_argument("--workers", type=int, metavar="N", help="HTTP processes, of the echo too (NEXTUP_WORKERS)")
    parser.add_argument("--url", help="measure this running service, which uses the store as set, instead of a new one")
    parser.add_argument("--connections", type=int, default=64, help="requests at a time (64)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per server, all rounds together (30)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per server, taken in turn (3)")
    parser.add_argument("--k", type=int, default=10, help="items asked for (10)")
    parser.add_argument("--seed", type=int, default=0, help="which users are drawn")
    parser.add_argument("--min-rps", type=float, metavar="R", help="target: at least so many answers per second")
    parser.add_argument("--max-p99-ms", type=float, metavar="MS", help="target: at most this 99th percentile")


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    given = {name: getattr(arguments, name) for name in ("artifact", "workers")}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    machine = machine_line(settings.torch_threads or max(1, (os.cpu_count() or 1) // settings.workers))
    try:
        with ExitStack() as running:
            return _bench_serve(arguments, settings, machine, running)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1


def _check(arguments: argparse.Namespace) -> None:
    for name, least, most in (("connections", 1, 10_000), ("rounds", 1, 1_000), ("k", 1, 1_000)):
        if not least <= (value := getattr(arguments, name)) <= most:
            raise ValueError(f"--{name} is {value}; from {least} to {most:,} make sense")
    round_s = arguments.seconds / arguments.rounds
    if not 0.01 <= round_s <= 3600:
        raise ValueError(f"--seconds is {arguments.seconds:g}; that is {round_s:g} for a round, of 0.01 to 3600")
    if arguments.url and (arguments.interactions or arguments.artifact):
        raise ValueError("--url measures a service that has its artifact and histories; leave those out")
    if arguments.workers is not None and arguments.workers < 1:
        raise ValueError(f"--workers is {arguments.workers}; at least 1")
    if arguments.url:
        _target_of(arguments.url)  # a mistake is told before anything starts


def _bench_serve(arguments: argparse.Namespace, settings: Settings, machine: str, running: ExitStack) -> int:
    url = running.enter_context(store_with_histories(arguments, settings))
    users = asyncio.run(stored_users(url, settings))
    if not users:
        raise ValueError("the store holds no histories to ask for: `nextup load` a log first, or name it here")
    drawn = random.Random(arguments.seed).choices(users, k=BODIES)  # noqa: S311 - a benchmark's users are no secret
    round_s = arguments.seconds / arguments.rounds
    plan = Plan(
        host=LOOPBACK,
        port=0,
        path="",
        bodies=tuple(json.dumps({"user_id": user, "k": arguments.k}) for user in drawn),
        connections=arguments.connections,
        warm_up_s=min(WARM_UP_S, round_s),
        seconds=round_s,
        timeout_s=TIMEOUT_S,
    )
    recommend = _target_of(arguments.url) if arguments.url else running.enter_context(_service(settings, url))
    echo = running.enter_context(uvicorn_beside("echo", "app.bench.echo:create_echo", settings.workers, factory=True))
    ceiling = _ceiling(plan)
    with progress("bench", 2 * arguments.rounds, "rounds") as shown:

        def finished(target: Target, one: Round) -> None:
            shown.advance(note=f"{target.name} {one.tally.answered / one.tally.seconds:,.0f} req/s")

        rounds = take_turns([echo, recommend], plan, arguments.rounds, finished)
    summaries = {
        "recommend": summarise("recommend", rounds["recommend"]),
        "echo": summarise("echo", rounds["echo"]),
        "generator": summarise("generator", [ceiling]),
    }
    reasons = missed(summaries["recommend"], summaries["echo"], arguments.min_rps, arguments.max_p99_ms)
    result = figures(summaries) | {
        "connections": arguments.connections,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "workers": settings.workers,
        "k": arguments.k,
        "users": len(users),
        "errors": summaries["recommend"].error_count,
        "machine": machine,
        "passed": not reasons,
    }
    print(table([summaries["recommend"], summaries["echo"]]))
    print(f"recommend / echo: {result['ratio']}, {arguments.connections} connections, {settings.workers} workers each")
    print("\n".join([*remarks(summaries["recommend"], summaries["generator"]), f"machine: {machine}"]))
    for reason in reasons:
        print(f"not passed: {reason}")
    print(json.dumps(result))
    return 0 if not reasons else 1


def _ceiling(plan: Plan) -> Round:
    """The generator against a server that does nothing: what it could measure at most."""
    with uvicorn_beside("bare", "app.bench.echo:bare", 1, factory=False) as bare:
        return run_round(bare, replace(plan, seconds=min(plan.seconds, CEILING_S)))


@contextmanager
def _service(settings: Settings, url: str) -> Iterator[Target]:
    """`nextup serve` as the user's environment sets it, on the Redis that the users were read from."""
    port = free_port()
    where = ["--host", LOOPBACK, "--port", str(port)]
    what = ["--artifact", str(settings.artifact), "--workers", str(settings.workers)]
    with child("nextup serve", ["-c", SERVE, "serve", *where, *what], {"NEXTUP_REDIS_URL": url}) as process:
        process.wait_until_it_answers(port, "/readyz", settings.workers)
        yield Target("recommend", LOOPBACK, port, "/recommend", process)


def _target_of(url: str) -> Target:
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port or parts.query or parts.fragment:
        raise ValueError(f"--url is {url}; http://host:port is meant, with or without a path before /recommend")
    return Target("recommend", parts.hostname, port, parts.path.rstrip("/") + "/recommend")
