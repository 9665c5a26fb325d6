"""Options of `nextup bench score`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_ints, csv_of, float_in, int_in, name_in, positive_int
from app.cli.options import CommandOptions, Option
from models.config import MAX_TRANSITIONS

FORM_NAMES = ("full", "codes", "byte-codes", "adaptive")
"""The forms of models/benchmarks/scoring.py, which loads torch; a test compares them."""
DIM = 64


@dataclass(kw_only=True)
class BenchScoreOptions(CommandOptions):
    """Tables and batches."""

    EXAMPLES = ("nextup bench score", "nextup bench score --items 100000 --batches 1,8,32 --forms codes")

    items: Annotated[list[int], Option("catalogue sizes, comma-separated", csv_ints, metavar="N,…")] = field(
        default_factory=lambda: [10_000, 100_000, 1_000_000]
    )
    batches: Annotated[list[int], Option("comma-separated batch sizes", csv_ints, metavar="N,…")] = field(
        default_factory=lambda: [1, 32]
    )
    forms: Annotated[
        list[str],
        Option("comma-separated forms of embedding and head", csv_of(name_in(FORM_NAMES)), metavar="NAME,…"),
    ] = field(default_factory=lambda: list(FORM_NAMES))
    dim: Annotated[int, Option("width of a vector", positive_int, metavar="N")] = DIM
    rounds: Annotated[int, Option("interleaved rounds per scorer", positive_int, metavar="N")] = 5
    threads: Annotated[int, Option("torch threads", positive_int, metavar="N")] = 1
    approximate: Annotated[bool, Option("also build an index and time the approximate scorer")] = False
    transitions: Annotated[
        int,
        Option(
            "also time every scorer with a transition memory of N followers per item",
            int_in(0, MAX_TRANSITIONS),
            metavar="N",
        ),
    ] = 0
    mask: Annotated[
        float | None,
        Option(
            "share of the items that a mask of every history allows, as a filter does",
            float_in(0, 1, low_open=True),
            metavar="SHARE",
        ),
    ] = None
    record: Annotated[
        Path | None, Option("write score.md and score.json to this folder", metavar="DIR", place="output_folder")
    ] = None
