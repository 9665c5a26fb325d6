"""`nextup bench NAME`: the benchmarks. Each prints a table and, on its last line, one JSON object.

Knows their names and options. What one does is in the file of its name beside this one, parts of it in app/bench.
"""

import argparse
from types import ModuleType

from app.bench.serve import command as serve_command
from app.commands import (
    bench_accuracy,
    bench_chart,
    bench_encode,
    bench_gpu,
    bench_memory,
    bench_scaling,
    bench_score,
    bench_traffic,
)

BENCHMARKS: dict[str, tuple[ModuleType, str]] = {
    "serve": (serve_command, "requests per second and latency of the service, beside a bare FastAPI echo"),
    "encode": (bench_encode, "sequences per second from history to hidden vector, torch and native code in turn"),
    "memory": (bench_memory, "bytes on disk and in memory by catalogue size, and of a history in Redis"),
    "ladder": (bench_scaling, "latency and memory at growing catalogues, each at its rate, without training"),
    "accuracy": (bench_accuracy, "presets × data sets × seeds, trained and evaluated, in one table"),
    "traffic": (bench_traffic, "made-up visitors for a running service, at a rate, until they are stopped"),
    "score": (bench_score, "the ways of scoring a catalogue, by its size and by batch size"),
    "chart": (bench_chart, "what serve and ladder recorded, as a picture"),
    "gpu": (bench_gpu, "encoding and scoring on a GPU, beside what its memory and arithmetic allow"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, (benchmark, told) in BENCHMARKS.items():
        benchmark.configure(names.add_parser(name, help=told, description=told.capitalize() + "."))


def run(arguments: argparse.Namespace) -> int:
    status: int = BENCHMARKS[arguments.benchmark][0].run(arguments)
    return status
