"""`nextup bench traffic`: made-up visitors ask a running service, at a rate, until they are stopped.

Not a measurement but something to look at: dashboards move, alerts can be tried. Knows the options; who the visitors
are is in app/bench/load/synthetic_users.py, how requests are sent in app/bench/load/generator.py.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from app.bench.load.generator import generate_load
from app.bench.load.profile import LoadProfile, LoadResult
from app.bench.load.synthetic_users import (
    build_request_bodies,
    fetch_popular_items,
    make_user_ids,
    rounds,
    seed_histories,
)
from app.bench.serve.options import parse_target

ROUND_S = 30.0
TIMEOUT_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service (http://127.0.0.1:8000)")
    parser.add_argument("--rate", type=float, default=20.0, metavar="R", help="requests per second (20)")
    parser.add_argument("--writes", type=float, default=0.1, metavar="SHARE", help="of them that are events (0.1)")
    parser.add_argument("--users", type=int, default=200, metavar="N", help="visitors, traffic-0 and so on (200)")
    parser.add_argument("--connections", type=int, default=64, help="requests at a time, at most (64)")
    parser.add_argument("--k", type=int, default=10, help="items asked for (10)")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0 = until it is stopped (0)")
    parser.add_argument("--seed", type=int, default=0, help="who asks for what, and when")


def run(arguments: argparse.Namespace) -> int:
    totals: Counter[str] = Counter()  # of whole rounds: what was under way when it is stopped does not count
    # A container is stopped by SIGTERM, which process 1 does not hear by itself. As Ctrl-C it ends asyncio in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        plan = _plan(arguments)
        for number, seconds in enumerate(rounds(arguments.seconds, ROUND_S)):
            tally = asyncio.run(generate_load(replace(plan, seconds=seconds, seed=arguments.seed + number)))
            totals.update(answered=tally.answered, events=tally.ok_writes, errors=tally.errors)
            print(_line(tally), file=sys.stderr, flush=True)
    print(json.dumps({"answered": 0, "events": 0, "errors": 0} | totals))
    return 0


def _plan(arguments: argparse.Namespace) -> LoadProfile:
    """ValueError by the option for what makes no sense, and for a service that cannot be asked."""
    for name, least, most in (("users", 1, 1_000_000), ("connections", 1, 10_000), ("k", 1, 1_000)):
        if not least <= (value := getattr(arguments, name)) <= most:
            raise ValueError(f"--{name} is {value}; from {least} to {most:,} make sense")
    if not 0 < arguments.rate <= 1_000_000:
        raise ValueError(f"--rate is {arguments.rate:g}; above 0, up to a million per second")
    if not 0 <= arguments.writes < 1:
        raise ValueError(f"--writes is {arguments.writes:g}; a share from 0 to below 1")
    if arguments.seconds < 0:
        raise ValueError(f"--seconds is {arguments.seconds:g}; 0 or more")
    target = parse_target(arguments.url)
    events_path = target.path.removesuffix("/recommend") + "/events"
    target = replace(target, events_path=events_path)
    rng = random.Random(arguments.seed)  # noqa: S311 - load, not a secret
    users, items = make_user_ids(arguments.users), fetch_popular_items(target)
    seed_histories(target, users, items, rng)
    reads, writes = build_request_bodies(users, items, arguments.k, rng)
    return LoadProfile(
        host=target.host,
        port=target.port,
        path=target.path,
        bodies=reads,
        connections=arguments.connections,
        warm_up_s=0.0,
        seconds=ROUND_S,
        timeout_s=TIMEOUT_S,
        rate=arguments.rate,
        events_path=events_path,
        events=writes,
        write_share=arguments.writes,
    )


def _line(tally: LoadResult) -> str:
    said = ", ".join(f"{count:,} {name}" for name, count in sorted((tally.failures | tally.statuses).items(), key=str))
    return f"{tally.answered:,} answered, {tally.ok_writes:,} of them events; {said or 'no errors'}"
