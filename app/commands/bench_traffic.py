"""`nextup bench traffic`: synthetic users send requests to a running service at a rate until interrupted.

Not a measurement but traffic to watch: dashboards show data, and alerts can be tried.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from app.bench.load.generator import generate_load
from app.bench.load.profile import LoadResult
from app.bench.serve.rounds import Target
from app.bench.synthetic_users import ROUND_S, build_traffic_profile, split_into_rounds
from app.commands.options.bench_traffic import BenchTrafficOptions

URL = "http://127.0.0.1:8000"


def run(arguments: BenchTrafficOptions) -> int:
    totals: Counter[str] = Counter()  # of complete rounds; an interrupted round is not counted
    # A container is stopped by SIGTERM, which process 1 ignores by default. Raised as SIGINT it stops asyncio in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        profile = build_traffic_profile(
            Target.from_url(arguments.url),
            num_users=arguments.users,
            rate=arguments.rate,
            write_share=arguments.writes,
            connections=arguments.connections,
            k=arguments.k,
            seed=arguments.seed,
        )
        for number, seconds in enumerate(split_into_rounds(arguments.seconds, ROUND_S)):
            result = asyncio.run(generate_load(replace(profile, seconds=seconds, seed=arguments.seed + number)))
            totals.update(answered=result.ok_responses, events=result.ok_writes, errors=result.errors)
            print(_format_line(result), file=sys.stderr, flush=True)
    print(json.dumps({"answered": 0, "events": 0, "errors": 0} | totals))
    return 0


def _format_line(result: LoadResult) -> str:
    counts = sorted((result.failures | result.statuses).items(), key=str)
    errors = ", ".join(f"{count:,} {name}" for name, count in counts)
    return f"{result.ok_responses:,} responses, {result.ok_writes:,} of them to writes; {errors or 'no errors'}"
