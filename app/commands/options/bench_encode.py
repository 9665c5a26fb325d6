"""Options of `nextup bench encode`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import float_in, positive_int
from app.cli.options import CommandOptions, Option

MIN_SECONDS = 1e-6


@dataclass(kw_only=True)
class BenchEncodeOptions(CommandOptions):
    """Size of the measurement, and where its result is written."""

    EXAMPLES = ("nextup bench encode", "nextup bench encode --rounds 9 --threads 4 --record docs/benchmarks")

    rounds: Annotated[int, Option("interleaved rounds per case", positive_int, metavar="N")] = 5
    seconds: Annotated[float, Option("per runner and round", float_in(MIN_SECONDS), metavar="S")] = 0.1
    items: Annotated[int, Option("catalogue size; the default is that of ML-1M", positive_int, metavar="N")] = 3416
    threads: Annotated[int, Option("compute threads", positive_int, metavar="N")] = 1
    record: Annotated[
        Path | None, Option("write encode.md and encode.json to this folder", metavar="DIR", place="output_folder")
    ] = None
