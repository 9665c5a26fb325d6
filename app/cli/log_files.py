"""What every command that reads interaction logs takes and says alike."""

import argparse
import sys
from pathlib import Path

from models.data.interactions import Interactions, parse_columns, read_interactions


def add_log_arguments(
    parser: argparse.ArgumentParser, *, nargs: str = "+", help_text: str = "files, folders or globs"
) -> None:
    parser.add_argument("interactions", nargs=nargs, type=Path, metavar="INTERACTIONS", help=help_text)
    parser.add_argument("--columns", metavar="user=…,item=…,time=…", help="names of the columns in the log")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad row instead of counting it")


def read_log(arguments: argparse.Namespace) -> Interactions:
    """The log that was asked for; bad rows are told on standard error."""
    columns = parse_columns(arguments.columns) if arguments.columns else None
    log = read_interactions(arguments.interactions, columns=columns, strict=arguments.strict)
    report = log.report
    print(f"read {report.rows:,} rows of {report.files} files, {report.bad_rows:,} bad", file=sys.stderr)
    for row in report.examples:
        print(f"  {row}", file=sys.stderr)
    return log
