"""Options of `nextup bench traffic`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import float_in, int_in, seed_int
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class BenchTrafficOptions(CommandOptions):
    """The service and its synthetic users."""

    EXAMPLES = ("nextup bench traffic", "nextup bench traffic --rate 200 --writes 0.2 --seconds 60")

    url: Annotated[str, Option("the service", metavar="URL")] = "http://127.0.0.1:8000"
    rate: Annotated[float, Option("requests per second", float_in(0, 1_000_000, low_open=True), metavar="R")] = 20.0
    writes: Annotated[float, Option("share of writes", float_in(0, 1, high_open=True), metavar="SHARE")] = 0.1
    users: Annotated[int, Option("synthetic users, from traffic-0", int_in(1, 1_000_000), metavar="N")] = 200
    connections: Annotated[int, Option("maximum concurrent requests", int_in(1, 10_000), metavar="N")] = 64
    k: Annotated[int, Option("items per request", int_in(1, 1_000), metavar="N")] = 10
    seconds: Annotated[float, Option("duration; 0 runs until interrupted", float_in(0), metavar="S")] = 0.0
    seed: Annotated[int, Option("seed of users, items and arrival times", seed_int, metavar="N")] = 0
