"""Options and reading of interaction logs, shared by all commands that take a log."""

import argparse
import sys
from pathlib import Path

from models.data.interactions import Interactions, parse_columns, read_interactions

LOG_HELP = "log files (CSV, TSV, JSON lines or Parquet, plain or compressed), folders or globs"


def add_log_arguments(parser: argparse.ArgumentParser, *, nargs: str = "+", help_text: str = LOG_HELP) -> None:
    parser.add_argument("interactions", nargs=nargs, type=Path, metavar="INTERACTIONS", help=help_text)
    parser.add_argument(
        "--columns",
        metavar="user=…,item=…,time=…",
        help="column names of the log (default: user_id, item_id and timestamp)",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first bad row instead of counting it")


def read_log(arguments: argparse.Namespace) -> Interactions:
    """Read the log named by the arguments and report its bad rows on standard error."""
    columns = parse_columns(arguments.columns) if arguments.columns else None
    log = read_interactions(arguments.interactions, columns=columns, strict=arguments.strict)
    report = log.report
    print(f"read {report.rows:,} rows of {report.files} files, {report.bad_rows:,} bad", file=sys.stderr)
    for row in report.examples:
        print(f"  {row}", file=sys.stderr)
    return log
