"""`nextup bench NAME`: the benchmarks. Each prints a table and, on its last line, one JSON object.

Knows their names and options. What one does is in the file of its name beside this one, parts of it in app/bench.
"""

import argparse

from app.commands import bench_serve


def configure(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    told = "requests per second and latency of the service, beside a bare FastAPI echo"
    bench_serve.configure(names.add_parser("serve", help=told, description=told.capitalize() + "."))


def run(arguments: argparse.Namespace) -> int:
    return bench_serve.run(arguments)
