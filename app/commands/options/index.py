"""Options of `nextup index`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import non_negative_int, positive_int, thread_int
from app.cli.log_options import LogOptions
from app.cli.options import Option
from app.commands.options.artifact import ArtifactOptions

MIN_INDEX_ITEMS = 1_000_000
"""The value of models/indexing.py, which loads torch; a test compares them."""


@dataclass(kw_only=True)
class IndexOptions(LogOptions, ArtifactOptions):
    """When an index is built, and how it is measured."""

    EXAMPLES = ("nextup index var/shop ratings.csv", "nextup index var/shop ratings.csv --min-items 200000")

    queries: Annotated[int, Option("histories on which recall is measured", positive_int, metavar="N")] = 1_000
    min_items: Annotated[
        int,
        Option("smallest catalogue to index; smaller ones are scanned exactly", non_negative_int, metavar="N"),
    ] = MIN_INDEX_ITEMS
    threads: Annotated[int, Option("CPU threads; 0 = chosen by torch", thread_int, metavar="N")] = 0
