"""Options of `nextup bench overload`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import float_in, int_in, seed_int
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class BenchOverloadOptions(CommandOptions):
    """The service, its users and the overload."""

    EXAMPLES = ("nextup bench overload", "nextup bench overload --factor 3 --seconds 60 --url http://127.0.0.1:8000")

    url: Annotated[str, Option("the service", metavar="URL")] = "http://127.0.0.1:8000"
    factor: Annotated[float, Option("offered load, by the measured peak", float_in(1, 100), metavar="F")] = 3.0
    seconds: Annotated[float, Option("duration of the overload", float_in(1, 3600), metavar="S")] = 60.0
    deadline_ms: Annotated[
        float, Option("an answer that comes later does not count", float_in(1, 600_000), metavar="MS")
    ] = 1000.0
    users: Annotated[int, Option("synthetic users, from traffic-0", int_in(1, 1_000_000), metavar="N")] = 200
    connections: Annotated[int, Option("maximum concurrent requests", int_in(1, 20_000), metavar="N")] = 2000
    k: Annotated[int, Option("items per request", int_in(1, 1_000), metavar="N")] = 10
    seed: Annotated[int, Option("seed of users, items and arrival times", seed_int, metavar="N")] = 0
