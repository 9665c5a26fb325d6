"""Names, groups and summaries of all commands, without importing any of them."""

from importlib import import_module
from typing import Any, NamedTuple

from app.cli.options import CommandOptions

DATA, MODEL, SERVICE = "Data", "Model", "Service"


class Command(NamedTuple):
    """A command: its group in the help, and its summary.

    Options are the class in `app.commands.options.<module>`; `run` is in `app.commands.<module>`.
    """

    module: str
    group: str | None
    summary: str

    @property
    def description(self) -> str:
        return format_description(self.summary)

    def load_options(self) -> type[CommandOptions]:
        """Import the options of the command, which loads neither torch nor polars."""
        module = import_module(f"app.commands.options.{self.module}")
        (options,) = (each for each in vars(module).values() if _is_options_class(each, module.__name__))
        loaded: type[CommandOptions] = options
        return loaded

    def run(self, options: CommandOptions) -> int:
        """Import the command and run it; return its exit status."""
        status: int = import_module(f"app.commands.{self.module}").run(options)
        return status


def format_description(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _is_options_class(value: Any, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, CommandOptions) and value.__module__ == module


COMMANDS = {
    name: Command(name, group, summary)
    for name, group, summary in (
        ("inspect", DATA, "show how a log would be read, its funnel and a sample, without training"),
        ("load", DATA, "bulk-load an interaction log into the history store"),
        ("consume", DATA, "store the events of a Redis Stream or a Kafka topic until stopped"),
        ("dump", DATA, "export all events as Parquet, to train on"),
        ("archive", DATA, "move the event log from Redis to Parquet files, and compact them"),
        ("erase", DATA, "delete all data of a user and print a receipt"),
        ("items", DATA, "list or search the items of an artifact; `nextup items load` fills the live catalogue"),
        ("demo", DATA, "write a synthetic log with items, to try other commands on"),
        ("train", MODEL, "train and evaluate a model on an interaction log and write an artifact"),
        ("evaluate", MODEL, "evaluate an artifact with leave-one-out (HR, NDCG, MRR, coverage)"),
        ("extend", MODEL, "add new items to an artifact without retraining it"),
        ("index", MODEL, "build an approximate-search (ANN) index for an artifact and report its measured recall"),
        ("recommend", MODEL, "recommend the next items of a user, from a running service or an artifact"),
        ("similar", MODEL, "find items similar to an item, from a running service or an artifact"),
        ("vectors", MODEL, "write item and user vectors as Parquet, for other programs"),
        ("plan", MODEL, "estimate disk, memory, Redis size and workers for a service of a given size"),
        ("serve", SERVICE, "serve recommendations over HTTP"),
        ("publish", SERVICE, "publish a model version to a running service with zero downtime"),
        ("rollback", SERVICE, "serve the previous model version again, from memory where it is still there"),
        ("key", SERVICE, "create an API key and its NEXTUP_API_KEYS entry"),
        ("doctor", SERVICE, "check machine, installation, settings, Redis, port and artifact; state how to mend them"),
        ("monitoring", SERVICE, "write Grafana dashboards and Prometheus rules"),
    )
}

SUBCOMMANDS = {
    "items load": Command(
        "items_load", DATA, "bulk-load a file of items into the live catalogue that a service follows"
    ),
}
"""Commands whose names have two words, the first of which is a command itself."""

BENCH_SUMMARY = "run a benchmark"
BENCHMARKS = {
    name: Command(f"bench_{name}", None, summary)
    for name, summary in (
        ("serve", "throughput and latency of the service, compared with a bare FastAPI echo"),
        ("encode", "throughput from history to hidden vector, torch and native code interleaved"),
        ("memory", "bytes on disk and in memory by catalogue size, and of a history in Redis"),
        ("scaling", "latency and memory at growing catalogue sizes, each at its rate, without training"),
        ("accuracy", "presets × data sets × seeds, trained and evaluated, in one table"),
        ("baselines", "popular, Markov, co-occurrence and V-SKNN × data sets, without training a model"),
        ("traffic", "synthetic users of a running service, at a rate, until interrupted"),
        ("overload", "goodput and refusals of a running service at several times its capacity"),
        ("soak", "memory, handles, Redis and latency under mixed traffic, reloads, killed workers and bad clients"),
        ("score", "all scorers by catalogue size and batch size"),
        ("chart", "records of serve and scaling as a chart"),
        ("gpu", "encoding and scoring on a GPU, compared with its memory and arithmetic ceilings"),
    )
}
