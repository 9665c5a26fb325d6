"""Options of `nextup bench memory`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_counts
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class BenchMemoryOptions(CommandOptions):
    """Catalogue sizes, presets and history lengths."""

    EXAMPLES = ("nextup bench memory", "nextup bench memory --items 1m,10m --presets blossom")

    items: Annotated[list[int], Option("catalogue sizes", csv_counts, metavar="N,…", default="10k,100k,1m")] = field(
        default_factory=lambda: [10_000, 100_000, 1_000_000]
    )
    presets: Annotated[str, Option("presets to measure", metavar="NAME,…")] = "blossom,sasrec"
    events: Annotated[list[int], Option("history lengths", csv_counts, metavar="N,…")] = field(
        default_factory=lambda: [10, 50, 200, 1000]
    )
    out: Annotated[Path, Option("folder of the artifacts", metavar="DIR", place="output_folder")] = Path("var/scaling")
    record: Annotated[
        Path | None, Option("write memory.md and memory.json to this folder", metavar="DIR", place="output_folder")
    ] = None
