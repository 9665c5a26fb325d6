"""Options of `nextup bench baselines`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_of, non_negative_int, positive_int
from app.cli.options import CommandOptions, Option
from app.cli.split_options import SPLITS, Split

BASELINE_NAMES = ("popular", "markov", "cooccurrence", "vsknn")
MAX_BASELINE_USERS = 20_000
"""The registry of models/baselines and the limit of models/evaluation/baselines.py; a test compares them."""


@dataclass(kw_only=True)
class BenchBaselinesOptions(CommandOptions):
    """Data sets, splits and baselines."""

    EXAMPLES = ("nextup bench baselines --data ml-1m=ml-1m.csv --splits leave-one-out,time",)

    data: Annotated[list[str], Option("repeatable", metavar="NAME=LOG", repeat=True)]
    baselines: Annotated[list[str], Option("comma-separated", csv_of(str), metavar="NAME,…")] = field(
        default_factory=lambda: list(BASELINE_NAMES)
    )
    splits: Annotated[
        list[Split], Option(f"comma-separated, of {', '.join(SPLITS)}", csv_of(str), metavar="NAME,…")
    ] = field(default_factory=lambda: [SPLITS[0]])
    keep_seen: Annotated[
        list[str], Option("data set whose seen items are not filtered; repeatable", metavar="NAME", repeat=True)
    ] = field(default_factory=list)
    users: Annotated[int, Option("most users, evenly spaced", positive_int, metavar="N")] = MAX_BASELINE_USERS
    min_item_events: Annotated[int, Option("drop items with fewer events", non_negative_int, metavar="N")] = 5
    table: Annotated[Path | None, Option("write FILE.md and FILE.json", metavar="FILE")] = None
