"""`nextup bench soak`: whether memory, handles, Redis, metrics files and latency stay flat under mixed traffic."""

import json
import sys

from app.bench.record import collect_machine_facts, write_record
from app.bench.soak.flatness import Trend
from app.bench.soak.soak import SoakOptions, run_soak
from app.commands.options.bench_soak import BenchSoakOptions
from app.environment import load_settings
from app.runtime.subprocesses import ChildFailed
from models.text_table import format_text_table


def run(arguments: BenchSoakOptions) -> int:
    options = SoakOptions(
        artifact=arguments.artifact or load_settings().artifact,
        minutes=arguments.minutes,
        rate=arguments.rate,
        users=arguments.users,
        workers=arguments.workers,
        model_process=arguments.model_process,
        seed=arguments.seed,
    )
    facts = collect_machine_facts()
    try:
        soak = run_soak(options)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1
    text = "\n".join([format_trends(soak.trends), *(f"not passed: {reason}" for reason in soak.failure_reasons)])
    result = {"minutes": arguments.minutes, "rate": arguments.rate, "workers": arguments.workers, **soak.to_dict()}
    print(text)
    if arguments.record:
        write_record(arguments.record, "soak", text, result, facts)
    print(json.dumps(result))
    return 0 if not soak.failure_reasons else 1


def format_trends(trends: dict[str, Trend]) -> str:
    verdicts = {True: "flat", False: "grows", None: "too few samples"}
    rows = [
        [name, f"{trend.median:,.4g}", f"{trend.growth:+,.4g}", f"{trend.bound:,.4g}", verdicts[trend.is_flat]]
        for name, trend in trends.items()
    ]
    return format_text_table(["series", "median", "growth", "allowed", ""], rows)
