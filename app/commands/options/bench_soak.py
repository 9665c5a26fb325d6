"""Options of `nextup bench soak`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.cli.arguments import float_in, int_in, seed_int
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class BenchSoakOptions(CommandOptions):
    """The service and its load."""

    EXAMPLES = ("nextup bench soak --minutes 60", "nextup bench soak --minutes 5 --rate 100 --artifact var/shop")

    minutes: Annotated[float, Option("duration", float_in(0.2, 100_000), metavar="M")] = 10.0
    rate: Annotated[float, Option("requests per second", float_in(1, 10_000), metavar="R")] = 50.0
    users: Annotated[int, Option("synthetic users", int_in(2, 100_000), metavar="N")] = 200
    workers: Annotated[int, Option("HTTP processes", int_in(1, 64), metavar="N")] = 2
    model_process: Annotated[
        Literal["in_process", "dedicated"], Option("where the model runs, as with nextup serve")
    ] = "in_process"
    artifact: Annotated[
        Path | None, Option("artifact folder or model repository", metavar="DIR", default="NEXTUP_ARTIFACT")
    ] = None
    seed: Annotated[int, Option("seed of users, items and disturbances", seed_int, metavar="N")] = 0
    record: Annotated[
        Path | None, Option("write soak.md and soak.json to this folder", metavar="DIR", place="output_folder")
    ] = None
