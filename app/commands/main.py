"""The `nextup` command line.

A command is a module of this package with `configure(parser)` and `run(arguments)`. Only the requested one is imported,
so that `nextup --help` does not load torch.
"""

import sys
import time
from collections.abc import Sequence
from importlib import import_module

from app import __version__
from app.cli.arguments import CommandParser
from app.cli.wait_policy import set_wait_policy
from app.errors import ServiceError

COMMANDS = {
    "train": "train and evaluate a model on an interaction log and write an artifact",
    "evaluate": "evaluate an artifact with leave-one-out (HR, NDCG, MRR, coverage)",
    "extend": "add new items to an artifact without retraining it",
    "index": "build an approximate-search (ANN) index for an artifact and report its measured recall",
    "serve": "serve recommendations over HTTP",
    "publish": "publish a model version to a running service with zero downtime",
    "load": "bulk-load an interaction log into the history store",
    "dump": "export stored events as Parquet, to train on",
    "erase": "delete all data of a user and print a receipt",
    "key": "create an API key and its NEXTUP_API_KEYS entry",
    "plan": "estimate disk, memory, Redis size and workers for a service of a given size",
    "bench": "run a benchmark",
    "monitoring": "write Grafana dashboards and Prometheus rules",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Invalid input, service errors and lost peers are one line on standard error and status 1.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except (ValueError, ServiceError, FileNotFoundError, ConnectionError) as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nextup: stopped", file=sys.stderr)
        return 130


def _run(words: list[str]) -> int:
    started_at = time.monotonic()
    set_wait_policy()
    parser = CommandParser(prog="nextup", description="Online next-item recommendation.")
    parser.add_argument("--version", action="version", version=f"nextup {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    requested = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == requested:
            module = import_module(f"app.commands.{name}")
            module.configure(command)
            command.set_defaults(run=module.run, started_at=started_at)
    parsed = parser.parse_args(words)
    status: int = parsed.run(parsed)
    return status


if __name__ == "__main__":  # `torchrun -m` starts it this way
    sys.exit(main())
