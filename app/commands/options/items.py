"""Options of `nextup items`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import int_in
from app.cli.options import Option
from app.commands.options.artifact import ArtifactOptions

MAX_ROWS = 1_000_000


@dataclass(kw_only=True)
class ItemsOptions(ArtifactOptions):
    """Which items are listed."""

    EXAMPLES = (
        "nextup items var/shop",
        "nextup items var/shop --find 'toy story'",
        "nextup items var/shop --category Comedy",
        "nextup items load products.csv",
    )

    find: Annotated[
        str | None, Option("only items whose id or title contains this text, in any case", metavar="TEXT")
    ] = None
    category: Annotated[str | None, Option("only items of this category", metavar="NAME")] = None
    limit: Annotated[int, Option("most items to list", int_in(1, MAX_ROWS), metavar="N")] = 20
