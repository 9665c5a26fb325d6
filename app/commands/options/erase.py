"""Options of `nextup erase`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import parse_id
from app.cli.options import Argument, CommandOptions


@dataclass(kw_only=True)
class EraseOptions(CommandOptions):
    """The user to erase."""

    EXAMPLES = ("nextup erase 42",)

    user: Annotated[str, Argument("user id", parse_id, metavar="USER")]
