"""Options of `nextup recommend`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import parse_id
from app.cli.options import Argument, Option
from app.commands.options.service import FILTERS, ITEM_LIST, AnswerOptions


@dataclass(kw_only=True)
class RecommendOptions(AnswerOptions):
    """A user with a stored history, or a history."""

    EXAMPLES = (
        "nextup recommend 42",
        "nextup recommend 42 --artifact var/shop --explain",
        "nextup recommend --history 1193,661,914 --artifact var/shop --k 5",
    )

    user: Annotated[str | None, Argument("user whose stored history is used", parse_id, metavar="USER")] = None
    history: Annotated[
        list[str] | None,
        Option("items to use instead of a stored history, oldest first, comma-separated", ITEM_LIST, metavar="ITEM,…"),
    ] = None
    explain: Annotated[bool, Option("the items of the history that each item rests on, with their weights")] = False
    include_seen: Annotated[bool, Option("also items of the history", panel=FILTERS)] = False
