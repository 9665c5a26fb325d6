"""`nextup monitoring`: write the Grafana dashboards and Prometheus rules of this version."""

import argparse
from pathlib import Path

from app.monitoring.files import render_files


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output folder; existing files are replaced"
    )


def run(arguments: argparse.Namespace) -> int:
    for name, text in render_files().items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
    return 0
