"""Options of `nextup similar`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import parse_id
from app.cli.options import Argument
from app.commands.options.service import AnswerOptions


@dataclass(kw_only=True)
class SimilarOptions(AnswerOptions):
    """The item to compare with."""

    EXAMPLES = ("nextup similar 1193", "nextup similar 1193 --artifact var/shop --k 5 --categories Comedy")

    item: Annotated[str, Argument("item to compare with", parse_id, metavar="ITEM")]
