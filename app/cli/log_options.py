"""Options of all commands that read an interaction log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.cli.options import Argument, CommandOptions, Option
from models.data.public_formats import FORMATS

LOG_HELP = (
    "log files (CSV, TSV, JSON lines or Parquet, plain or compressed), folders, globs, - for standard input, or "
    "events:// for the events of the service itself"
)
READING = "Reading the log"
Order = Literal["time", "file"]


@dataclass(kw_only=True)
class LogReadingOptions(CommandOptions):
    """How a log is read."""

    columns: Annotated[
        str | None,
        Option(
            "column names of the log, or numbers from 1 for files without a header; also type, event_id, and for the "
            "items file items.item, title, categories",
            metavar="user=…,item=…,time=…",
            default="user_id, item_id and timestamp",
            panel=READING,
        ),
    ] = None
    format: Annotated[
        str | None, Option("layout of a public log", choices=tuple(FORMATS), metavar="NAME", panel=READING)
    ] = None
    separator: Annotated[
        str | None,
        Option("separator of cells, such as ';', '::' or tab", metavar="TEXT", default="detected", panel=READING),
    ] = None
    encoding: Annotated[
        str | None,
        Option("encoding of text, such as latin-1", metavar="NAME", default="UTF-8, or UTF-16 by mark", panel=READING),
    ] = None
    timezone: Annotated[
        str, Option("time zone of dates and times without an offset", metavar="NAME", panel=READING)
    ] = "UTC"
    time_format: Annotated[
        str | None,
        Option(
            "format of times in other texts than ISO 8601, such as '%d.%m.%Y %H:%M'",
            metavar="FORMAT",
            default="a Unix time, or ISO 8601",
            panel=READING,
        ),
    ] = None
    order: Annotated[Order, Option("order of events: by time, or as in the file, without times", panel=READING)] = (
        "time"
    )
    strict: Annotated[bool, Option("stop at the first bad row instead of counting it", panel=READING)] = False


@dataclass(kw_only=True)
class LogOptions(LogReadingOptions):
    """One or more logs, and how they are read."""

    interactions: Annotated[list[Path], Argument(LOG_HELP, metavar="INTERACTIONS", repeat=True)]
