"""Options of `nextup demo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class DemoOptions(CommandOptions):
    """Where the files are written."""

    EXAMPLES = ("nextup demo --out var/demo-log",)

    out: Annotated[Path, Option("folder for the files; they are replaced", metavar="DIR", place="output_folder")]
