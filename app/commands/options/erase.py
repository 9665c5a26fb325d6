"""Options of `nextup erase`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import parse_id
from app.cli.options import Argument, CommandOptions, Option


@dataclass(kw_only=True)
class EraseOptions(CommandOptions):
    """The user to erase."""

    EXAMPLES = ("nextup erase 42", "nextup erase 42 --compact")

    user: Annotated[str, Argument("user id", parse_id, metavar="USER")]
    compact: Annotated[
        bool, Option("also remove the user's rows from the files of the archive now, not at the next compaction")
    ] = False
