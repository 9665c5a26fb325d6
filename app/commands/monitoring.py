"""`nextup monitoring`: the dashboards and rules of this version, for a Grafana and a Prometheus of one's own."""

import argparse
from pathlib import Path

from app.monitoring.files import files


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for them; files of the same names are replaced"
    )


def run(arguments: argparse.Namespace) -> int:
    for name, text in files().items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
    return 0
