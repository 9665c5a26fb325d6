"""Options of `nextup bench gpu`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from app.cli.arguments import csv_ints, positive_int
from app.cli.options import CommandOptions, Option

CUDA_SIZES, CUDA_ROUNDS = (100_000, 1_000_000, 10_000_000), 20


@dataclass(kw_only=True)
class BenchGpuOptions(CommandOptions):
    """The device and the cases."""

    EXAMPLES = ("nextup bench gpu", "nextup bench gpu --device cpu")

    device: Annotated[Literal["cuda", "cpu"], Option("cpu is a small dry run")] = "cuda"
    items: Annotated[
        list[int] | None,
        Option("catalogue sizes, comma-separated", csv_ints, metavar="N,…", default=",".join(map(str, CUDA_SIZES))),
    ] = None
    batches: Annotated[list[int], Option("batch sizes, comma-separated", csv_ints, metavar="N,…")] = field(
        default_factory=lambda: [1, 32, 128]
    )
    lengths: Annotated[list[int], Option("lengths of encoded histories", csv_ints, metavar="N,…")] = field(
        default_factory=lambda: [50, 200]
    )
    rounds: Annotated[int | None, Option("runs per case", positive_int, metavar="N", default=str(CUDA_ROUNDS))] = None
    record: Annotated[
        Path | None, Option("write gpu.md and gpu.json to this folder", metavar="DIR", place="output_folder")
    ] = None
