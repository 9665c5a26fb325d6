"""Options of `nextup plan`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app.cli.arguments import count_in, float_in, int_in
from app.cli.options import CommandOptions, Option
from models.config import MAX_TRANSITIONS

MIN_ITEMS, MAX_ITEMS = 64, 1_000_000_000
"""The bounds of app/capacity/shapes.py, which loads torch; a test compares them."""
MAX_USERS = 10_000_000_000
MAX_LENGTH = 1_000_000
MAX_WORKERS = 4096
MAX_TEXT_BYTES = 4096
MAX_CATEGORIES = 1000
MAX_ATTRIBUTES = 32
"""Equal to the bound of an item, whose module imports pydantic."""
MIN_RATE, MAX_RATE = 0.01, 1e8
text_bytes, optional_bytes = float_in(1, MAX_TEXT_BYTES), float_in(0, MAX_TEXT_BYTES)


@dataclass(kw_only=True)
class PlanOptions(CommandOptions):
    """The size of the service."""

    EXAMPLES = (
        "nextup plan --items 100k --users 2M",
        "nextup plan --items 10M --users 50M --length 120 --rate 2000 --index",
        "nextup plan --items 1M --live-items 1M --attributes 4",
    )

    items: Annotated[int, Option("catalogue size, such as 10M", count_in(MIN_ITEMS, MAX_ITEMS), metavar="N")]
    users: Annotated[int, Option("users with a history", count_in(1, MAX_USERS), metavar="N", default="1M")] = 1_000_000
    length: Annotated[int, Option("mean events per history", count_in(1, MAX_LENGTH), metavar="N")] = 200
    preset: Annotated[str, Option("preset whose sizes the model has", metavar="NAME")] = "blossom"
    transitions: Annotated[
        int | None,
        Option(
            "followers per item of a transition memory; 0 = none",
            int_in(0, MAX_TRANSITIONS),
            metavar="N",
            default="by the preset",
        ),
    ] = None
    device: Annotated[Literal["cpu", "cuda"], Option("device of the model")] = "cpu"
    workers: Annotated[
        int | None,
        Option("HTTP processes", int_in(1, MAX_WORKERS), metavar="N", default="as --rate requires, else 1"),
    ] = None
    rate: Annotated[
        float | None, Option("requests per second, to estimate workers", float_in(MIN_RATE, MAX_RATE), metavar="RPS")
    ] = None
    index: Annotated[bool, Option("with an ANN index (`nextup index`)")] = False
    id_bytes: Annotated[
        float | None,
        Option("mean bytes of an item id", text_bytes, metavar="B", default="a letter and a number up to N"),
    ] = None
    user_id_bytes: Annotated[
        float | None,
        Option("mean bytes of a user id", text_bytes, metavar="B", default="a letter and a number up to --users"),
    ] = None
    title_bytes: Annotated[float, Option("mean bytes of an item title", optional_bytes, metavar="B")] = 0.0
    categories: Annotated[float, Option("categories per item", float_in(0, MAX_CATEGORIES), metavar="N")] = 0.0
    attributes: Annotated[
        float,
        Option(
            "attributes per item, in the artifact and in the live catalogue", float_in(0, MAX_ATTRIBUTES), metavar="N"
        ),
    ] = 0.0
    attribute_bytes: Annotated[
        float, Option("mean bytes of an attribute in JSON, name and value", text_bytes, metavar="B")
    ] = 14.0
    live_items: Annotated[
        int, Option("items of the live catalogue, in each process and in Redis", count_in(0, MAX_ITEMS), metavar="N")
    ] = 0
    event_ids: Annotated[bool, Option("events carry an event_id, of the last days")] = False
    redis: Annotated[Literal["server", "embedded"], Option("kind of Redis, for its allocator")] = "server"
