"""`nextup bench chart`: a chart of recorded benchmarks."""

import argparse
import json
from pathlib import Path

from app.bench.chart import render_chart


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with serve.json and scaling.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="PNG file to write")


def run(arguments: argparse.Namespace) -> int:
    try:
        picture = render_chart(arguments.folder)
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{arguments.folder} does not contain records of serve and scaling: {error!r}") from error
    arguments.out.write_bytes(picture)
    print(f"{arguments.out}: {len(picture):,} bytes")
    print(json.dumps({"file": str(arguments.out), "bytes": len(picture)}))
    return 0
