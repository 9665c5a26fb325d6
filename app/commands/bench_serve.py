"""`nextup bench serve`: requests per second and latency of the service, next to reference servers and peers."""

import argparse
from pathlib import Path

from app.bench.serve.benchmark import ServeOptions, run_serve_benchmark
from app.bench.serve.report import PEERS
from app.bench.serve.rounds import Target
from app.cli.arguments import csv_ints, csv_of, float_in, int_in, name_in, positive_float
from app.cli.log_files import add_log_arguments, read_log

MIN_ROUND_S, MAX_ROUND_S = 0.01, 3600.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(
        parser,
        nargs="*",
        help_text="log to load into a temporary store and request (default: the histories of the configured store)",
    )
    parser.add_argument("--artifact", type=Path, metavar="DIR", help="artifact folder (NEXTUP_ARTIFACT)")
    parser.add_argument(
        "--workers",
        type=csv_ints,
        default=[],
        metavar="N,…",
        help="HTTP processes (NEXTUP_WORKERS); every number is measured, and peers use the last one",
    )
    parser.add_argument("--url", help="measure this running service, which uses the configured store")
    parser.add_argument(
        "--rate",
        type=float_in(0, 1_000_000, low_open=True),
        metavar="R",
        help="offered load in requests per second (open loop)",
    )
    parser.add_argument(
        "--writes", type=float_in(0, 1, high_open=True), default=0.0, metavar="SHARE", help="share of writes (0)"
    )
    parser.add_argument(
        "--peers",
        type=csv_of(name_in(PEERS)),
        default=[],
        metavar="NAME,…",
        help=f"servers measured interleaved with the service: {', '.join(PEERS)}",
    )
    parser.add_argument(
        "--torchserve",
        type=Path,
        default=Path("var/torchserve"),
        metavar="DIR",
        help="Python environment of TorchServe, created if missing",
    )
    parser.add_argument(
        "--connections", type=int_in(1, 10_000), default=64, help="concurrent requests; with --rate, their maximum (64)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=30.0, help="measured per server, all rounds together (30)"
    )
    parser.add_argument("--rounds", type=int_in(1, 1_000), default=3, help="interleaved rounds per server (3)")
    parser.add_argument("--k", type=int_in(1, 1_000), default=10, help="items per request (10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampled users and arrival times (0)")
    parser.add_argument("--min-rps", type=float, metavar="R", help="target: minimum responses per second")
    parser.add_argument("--max-p99-ms", type=float, metavar="MS", help="target: maximum 99th percentile")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write serve.md and serve.json to this folder")


def run(arguments: argparse.Namespace) -> int:
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
            peers=list(dict.fromkeys(arguments.peers)),
            torchserve_folder=arguments.torchserve,
            min_rps=arguments.min_rps,
            max_p99_ms=arguments.max_p99_ms,
            record_folder=arguments.record,
        )
    )


def _check_combinations(arguments: argparse.Namespace) -> None:
    """Raise ValueError for options that contradict each other, before anything starts."""
    round_s = arguments.seconds / arguments.rounds
    if not MIN_ROUND_S <= round_s <= MAX_ROUND_S:
        raise ValueError(f"--seconds must be between {MIN_ROUND_S} and {MAX_ROUND_S:,.0f} per round (got {round_s:g})")
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
