"""Options of `nextup inspect`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.log_options import LogOptions
from app.cli.options import Option


@dataclass(kw_only=True)
class InspectOptions(LogOptions):
    """The log to look at."""

    EXAMPLES = ("nextup inspect orders.csv", "nextup inspect orders.csv --items products.csv")

    items: Annotated[Path | None, Option("titles and categories of items", metavar="FILE", place="input_file")] = None
