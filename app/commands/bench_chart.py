"""`nextup bench chart`: recorded benchmarks as a picture. What it shows is in app/bench/chart.py."""

import argparse
import json
from pathlib import Path

from app.bench.chart import render_chart


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="where serve.json and ladder.json were recorded")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the PNG to write")


def run(arguments: argparse.Namespace) -> int:
    try:
        picture = render_chart(arguments.folder)
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{arguments.folder} has no records of serve and ladder to draw: {error!r}") from error
    arguments.out.write_bytes(picture)
    print(f"{arguments.out}: {len(picture):,} bytes")
    print(json.dumps({"file": str(arguments.out), "bytes": len(picture)}))
    return 0
