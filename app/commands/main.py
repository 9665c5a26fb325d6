"""The command line: which commands there are, and how a mistake is told.

A command is a module of this folder with `configure(parser)` and `run(arguments)`. Only the one that was asked for is
imported, so that `nextup --help` does not load torch.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from app import __version__
from app.cli.arguments import CommandParser
from app.errors import ServiceError

COMMANDS = {
    "train": "an interaction log in, a trained and evaluated artifact out",
    "evaluate": "how well an artifact foresees the last event of every user",
    "extend": "put items that came after the training into an artifact, without training again",
    "index": "give an artifact of a million items an index for approximate answers",
    "serve": "the service over HTTP",
    "publish": "give a running service another version of its model, without a lost request",
    "load": "bulk-load a log into the store of histories",
    "dump": "stored events back to Parquet, the next training set",
    "erase": "remove a user from the store, print the receipt",
    "key": "a new API key and the setting that lets it in",
    "plan": "what a service of a given size will take: disk, memory, Redis, workers",
    "bench": "the benchmarks",
    "monitoring": "write dashboards for Grafana and alerts for Prometheus",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Mistakes and lost peers are one line on standard error and status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except (ValueError, ServiceError, FileNotFoundError, ConnectionError) as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nextup: stopped", file=sys.stderr)
        return 130


def _run(given: list[str]) -> int:
    parser = CommandParser(prog="nextup", description="Online next-item recommendation.")
    parser.add_argument("--version", action="version", version=f"nextup {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked_for = next((word for word in given if not word.startswith("-")), None)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name == asked_for:
            module = import_module(f"app.commands.{name}")
            module.configure(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(given)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":  # as `torchrun -m` starts it
    sys.exit(main())
