"""Options of `nextup bench chart`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import Argument, CommandOptions, Option


@dataclass(kw_only=True)
class BenchChartOptions(CommandOptions):
    """Records and picture."""

    EXAMPLES = ("nextup bench chart docs/benchmarks --out chart.png",)

    folder: Annotated[Path, Argument("folder with serve.json and scaling.json", metavar="DIR")]
    out: Annotated[Path, Option("PNG file to write", metavar="FILE", place="output_file")]
