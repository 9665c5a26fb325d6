"""`nextup bench serve`: requests per second and latency of the service, next to reference servers and peers."""

import json

from app.bench.serve.benchmark import ServeOptions, run_serve_benchmark
from app.bench.serve.rounds import Target
from app.cli.log_files import read_log
from app.commands.options.bench_serve import BenchServeOptions
from app.inference.filters import parse_filter
from app.rules.fields import RuleFields

MIN_ROUND_S, MAX_ROUND_S = 0.01, 3600.0


def run(arguments: BenchServeOptions) -> int:
    _check_combinations(arguments)
    events = read_log(arguments).events if arguments.interactions else None
    return run_serve_benchmark(
        ServeOptions(
            connections=arguments.connections,
            seconds=arguments.seconds,
            rounds=arguments.rounds,
            k=arguments.k,
            seed=arguments.seed,
            artifact=arguments.artifact,
            worker_counts=list(dict.fromkeys(arguments.workers)),
            url=arguments.url,
            events=events,
            rate=arguments.rate,
            write_share=arguments.writes,
            item_filter=arguments.filter,
            rules=arguments.rules,
            peers=list(dict.fromkeys(arguments.peers)),
            torchserve_folder=arguments.torchserve,
            min_rps=arguments.min_rps,
            max_p99_ms=arguments.max_p99_ms,
            record_folder=arguments.record,
            report_file=arguments.report,
        )
    )


def _check_combinations(arguments: BenchServeOptions) -> None:
    """Raise ValueError for options that contradict each other, before anything starts."""
    round_s = arguments.seconds / arguments.rounds
    if not MIN_ROUND_S <= round_s <= MAX_ROUND_S:
        raise ValueError(f"--seconds must be between {MIN_ROUND_S} and {MAX_ROUND_S:,.0f} per round (got {round_s:g})")
    if arguments.filter is not None:
        parse_filter(json.dumps(arguments.filter).encode())
    for name in sorted((arguments.rules or {}).keys() - RuleFields.model_fields):
        raise ValueError(f"--rules has the field {name!r}; use {', '.join(RuleFields.model_fields)}")
    for name, value in (("--filter", arguments.filter), ("--rules", arguments.rules)):
        if value is not None and arguments.peers:
            raise ValueError(f"{name} cannot be combined with --peers, which have none")
    if arguments.writes and not arguments.interactions:
        raise ValueError(
            "--writes would add synthetic events to the configured store; pass a log to use a temporary store"
        )
    if arguments.url:
        if arguments.interactions or arguments.artifact or arguments.peers:
            raise ValueError(
                "--url measures a running service; it cannot be combined with a log, --artifact or --peers"
            )
        Target.from_url(arguments.url)
