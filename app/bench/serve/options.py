"""The options of `nextup bench serve`: what there is, what makes sense, and what a URL or a list of workers means."""

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from app.bench.serve.peer_runs import parse_peers
from app.bench.serve.rounds import Target
from app.cli.log_files import add_log_arguments


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(
        parser,
        nargs="*",
        help_text="a log whose histories are asked for, in a store made for it; none: the histories in the store as set",
    )
    parser.add_argument("--artifact", type=Path, metavar="DIR", help="folder of the artifact (NEXTUP_ARTIFACT)")
    parser.add_argument(
        "--workers", metavar="N,…", help="HTTP processes (NEXTUP_WORKERS); several: each measured, peers have the last"
    )
    parser.add_argument("--url", help="measure this running service, which uses the store as set, instead of a new one")
    parser.add_argument("--rate", type=float, metavar="R", help="requests per second, whatever the server does")
    parser.add_argument("--writes", type=float, default=0.0, metavar="SHARE", help="of requests that are events (0)")
    parser.add_argument("--peers", default="", metavar="NAME,…", help="measured in turn with it: naive, torchserve")
    parser.add_argument(
        "--torchserve",
        type=Path,
        default=Path("var/torchserve"),
        metavar="DIR",
        help="its environment, made if missing",
    )
    parser.add_argument("--connections", type=int, default=64, help="requests at a time, with --rate at most (64)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per server, all rounds together (30)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per server, taken in turn (3)")
    parser.add_argument("--k", type=int, default=10, help="items asked for (10)")
    parser.add_argument("--seed", type=int, default=0, help="which users are drawn, and when they ask")
    parser.add_argument("--min-rps", type=float, metavar="R", help="target: at least so many answers per second")
    parser.add_argument("--max-p99-ms", type=float, metavar="MS", help="target: at most this 99th percentile")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write serve.md and serve.json there")


def checked(arguments: argparse.Namespace) -> list[int]:
    """The worker counts that were said; ValueError by the option for what makes no sense."""
    for name, least, most in (("connections", 1, 10_000), ("rounds", 1, 1_000), ("k", 1, 1_000)):
        if not least <= (value := getattr(arguments, name)) <= most:
            raise ValueError(f"--{name} is {value}; from {least} to {most:,} make sense")
    round_s = arguments.seconds / arguments.rounds
    if not 0.01 <= round_s <= 3600:
        raise ValueError(f"--seconds is {arguments.seconds:g}; that is {round_s:g} for a round, of 0.01 to 3600")
    if arguments.rate is not None and not 0 < arguments.rate <= 1_000_000:
        raise ValueError(f"--rate is {arguments.rate:g}; above 0, up to a million per second")
    if not 0 <= arguments.writes < 1:
        raise ValueError(f"--writes is {arguments.writes:g}; a share from 0 to below 1")
    if arguments.writes and not arguments.interactions:
        raise ValueError("--writes would put made-up events into the store as set; name a log, for a store of its own")
    parse_peers(arguments.peers)
    if arguments.url:
        if arguments.interactions or arguments.artifact or arguments.peers:
            raise ValueError("--url measures a service that has its artifact and histories; leave those out")
        parse_target(arguments.url)  # a mistake is told before anything starts
    return _worker_counts(arguments.workers)


def _worker_counts(text: str | None) -> list[int]:
    try:
        counts = [int(word) for word in text.split(",")] if text is not None else []
    except ValueError:
        counts = [0]
    if counts and min(counts) < 1:
        raise ValueError(f"--workers is {text}; at least 1, several separated by commas")
    return list(dict.fromkeys(counts))


def parse_target(url: str) -> Target:
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port or parts.query or parts.fragment:
        raise ValueError(f"--url is {url}; http://host:port is meant, with or without a path before /recommend")
    return Target("recommend", parts.hostname, port, parts.path.rstrip("/") + "/recommend")
