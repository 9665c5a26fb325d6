"""Options of `nextup evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.cli.arguments import positive_int, seed_int, thread_int
from app.cli.log_options import LogOptions
from app.cli.options import Option
from app.cli.split_options import SplitOptions
from app.cli.type_options import TargetTypeOptions
from app.commands.options.artifact import ArtifactOptions
from app.commands.options.device import Device

Part = Literal["test", "valid"]


@dataclass(kw_only=True)
class EvaluateOptions(TargetTypeOptions, SplitOptions, LogOptions, ArtifactOptions):
    """An evaluation of an artifact on a log."""

    EXAMPLES = (
        "nextup evaluate var/shop ratings.csv",
        "nextup evaluate var/shop ratings.csv --baselines --report report.html",
    )

    part: Annotated[
        Part,
        Option("held-out event: test is the last event of each user, valid the one before"),
    ] = "test"
    baselines: Annotated[bool, Option("also rank by baselines and compare them")] = False
    keep_seen: Annotated[bool, Option("do not filter items that the user already had")] = False
    request_times: Annotated[
        bool, Option("give the model the time of the held-out event, as the service gives it that of a request")
    ] = False
    sampled: Annotated[
        int | None,
        Option("rank against N random negatives per user", positive_int, metavar="N", default="the full catalogue"),
    ] = None
    limit: Annotated[
        int | None, Option("evaluate an evenly spread sample of N users", positive_int, metavar="N", default="all")
    ] = None
    seed: Annotated[int, Option("seed of --sampled", seed_int, metavar="N")] = 0
    device: Annotated[Device, Option("where the model runs")] = "auto"
    threads: Annotated[int, Option("CPU threads; 0 = measured", thread_int, metavar="N")] = 0
    report: Annotated[Path | None, Option("also write an HTML report", metavar="FILE.html", place="output_file")] = None
