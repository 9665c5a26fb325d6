"""Options of `nextup dump`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class DumpOptions(CommandOptions):
    """Where events are written."""

    EXAMPLES = ("nextup dump --out var/events",)

    out: Annotated[Path, Option("output folder; must be new or empty", metavar="DIR", place="output_folder")]
