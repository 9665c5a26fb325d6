"""Reading of interaction logs, shared by all commands that take a log."""

import sys

from app.cli.log_options import LogOptions
from models.data.interactions import Interactions, parse_columns, read_interactions


def read_log(arguments: LogOptions) -> Interactions:
    """Read the log named by the arguments and report its bad rows on standard error."""
    columns = parse_columns(arguments.columns) if arguments.columns else None
    log = read_interactions(arguments.interactions, columns=columns, strict=arguments.strict)
    report = log.report
    print(f"read {report.rows:,} rows of {report.files} files, {report.bad_rows:,} bad", file=sys.stderr)
    for row in report.examples:
        print(f"  {row}", file=sys.stderr)
    return log
