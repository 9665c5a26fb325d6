"""Options of commands that ask a running service, or an artifact without one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_of, int_in
from app.cli.options import CommandOptions, Option

MAX_ITEMS = 1_000
ITEM_LIST = csv_of(str)
SOURCE, FILTERS = "Source", "Filters"


@dataclass(kw_only=True)
class AnswerOptions(CommandOptions):
    """Where the answer comes from, and which items it may contain."""

    k: Annotated[int, Option("number of items", int_in(1, MAX_ITEMS), metavar="N")] = 10
    url: Annotated[
        str | None,
        Option(
            "base URL of the running service",
            metavar="URL",
            default="the service on NEXTUP_PORT of this machine",
            panel=SOURCE,
        ),
    ] = None
    key: Annotated[
        str | None, Option("API key with the scope read, if the service requires keys", metavar="KEY", panel=SOURCE)
    ] = None
    artifact: Annotated[
        Path | None,
        Option("load this artifact instead of asking a service", metavar="DIR", panel=SOURCE),
    ] = None
    categories: Annotated[
        list[str] | None,
        Option("only items in one of these categories, comma-separated", ITEM_LIST, metavar="NAME,…", panel=FILTERS),
    ] = None
    exclude: Annotated[
        list[str] | None, Option("items to exclude, comma-separated", ITEM_LIST, metavar="ITEM,…", panel=FILTERS)
    ] = None
