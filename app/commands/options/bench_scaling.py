"""Options of `nextup bench scaling`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from app.cli.arguments import csv_of, float_in, non_negative_int, positive_int, seed_int
from app.cli.options import CommandOptions, Option

DEFAULT_STEPS = "10k@100,100k@250,1m@500,10m@1000"


def parse_step(text: str) -> Any:
    from app.bench.scaling import ScaleStep  # torch, which --help does not need

    return ScaleStep.parse(text)


parse_steps = csv_of(parse_step)


@dataclass(kw_only=True)
class BenchScalingOptions(CommandOptions):
    """Steps and load; `steps` is a list of ScaleStep."""

    EXAMPLES = ("nextup bench scaling", "nextup bench scaling --steps 10k@50,1m@200 --seconds 10 --workers 2")

    steps: Annotated[
        list[Any] | None,
        Option("catalogue sizes with their rates", parse_steps, metavar="ITEMS@RATE,…", default=DEFAULT_STEPS),
    ] = None
    preset: Annotated[str, Option("preset whose sizes the untrained models have", metavar="NAME")] = "blossom"
    workers: Annotated[int | None, Option("HTTP processes", positive_int, metavar="N", default="NEXTUP_WORKERS")] = None
    seconds: Annotated[float, Option("measured per step", float_in(0.01), metavar="S")] = 30.0
    users: Annotated[int, Option("users with histories", positive_int, metavar="N")] = 20_000
    sample: Annotated[int, Option("histories to measure recall on; 0: none", non_negative_int, metavar="N")] = 100
    no_index: Annotated[bool, Option("exact search also from 1,000,000 items")] = False
    out: Annotated[Path, Option("folder of the artifacts", metavar="DIR", place="output_folder")] = Path("var/scaling")
    seed: Annotated[int, Option("seed of artifacts, histories and requests", seed_int, metavar="N")] = 0
    record: Annotated[
        Path | None, Option("write scaling.md and scaling.json to this folder", metavar="DIR", place="output_folder")
    ] = None
    report: Annotated[
        Path | None,
        Option("also write an HTML report", metavar="FILE.html", place="output_file"),
    ] = None
