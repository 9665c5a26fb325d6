"""`nextup bench NAME`: the benchmarks. Each prints a table and, on its last line, one JSON object."""

import argparse
from types import ModuleType

from app.commands import (
    bench_accuracy,
    bench_baselines,
    bench_chart,
    bench_encode,
    bench_gpu,
    bench_memory,
    bench_scaling,
    bench_score,
    bench_serve,
    bench_traffic,
)

BENCHMARKS: dict[str, tuple[ModuleType, str]] = {
    "serve": (bench_serve, "throughput and latency of the service, compared with a bare FastAPI echo"),
    "encode": (bench_encode, "throughput from history to hidden vector, torch and native code interleaved"),
    "memory": (bench_memory, "bytes on disk and in memory by catalogue size, and of a history in Redis"),
    "scaling": (bench_scaling, "latency and memory at growing catalogue sizes, each at its rate, without training"),
    "accuracy": (bench_accuracy, "presets × data sets × seeds, trained and evaluated, in one table"),
    "baselines": (bench_baselines, "popular, Markov, co-occurrence and V-SKNN × data sets, without training a model"),
    "traffic": (bench_traffic, "synthetic users of a running service, at a rate, until interrupted"),
    "score": (bench_score, "all scorers by catalogue size and batch size"),
    "chart": (bench_chart, "records of serve and scaling as a chart"),
    "gpu": (bench_gpu, "encoding and scoring on a GPU, compared with its memory and arithmetic ceilings"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, (benchmark, summary) in BENCHMARKS.items():
        description = summary[0].upper() + summary[1:] + "."
        benchmark.configure(names.add_parser(name, help=summary, description=description))


def run(arguments: argparse.Namespace) -> int:
    status: int = BENCHMARKS[arguments.benchmark][0].run(arguments)
    return status
