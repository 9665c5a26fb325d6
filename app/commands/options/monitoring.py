"""Options of `nextup monitoring`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class MonitoringOptions(CommandOptions):
    """Where files are written."""

    EXAMPLES = ("nextup monitoring --out docker",)

    out: Annotated[Path, Option("output folder; existing files are replaced", metavar="DIR", place="output_folder")]
