"""Options of all commands that read an interaction log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import Argument, CommandOptions, Option

LOG_HELP = "log files (CSV, TSV, JSON lines or Parquet, plain or compressed), folders or globs"


@dataclass(kw_only=True)
class LogReadingOptions(CommandOptions):
    """How a log is read."""

    columns: Annotated[
        str | None,
        Option("column names of the log", metavar="user=…,item=…,time=…", default="user_id, item_id and timestamp"),
    ] = None
    strict: Annotated[bool, Option("stop at the first bad row instead of counting it")] = False


@dataclass(kw_only=True)
class LogOptions(LogReadingOptions):
    """One or more logs, and how they are read."""

    interactions: Annotated[list[Path], Argument(LOG_HELP, metavar="INTERACTIONS", repeat=True)]
