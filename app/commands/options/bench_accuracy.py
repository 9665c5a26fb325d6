"""Options of `nextup bench accuracy`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from app.cli.arguments import csv_of, non_negative_int, positive_int
from app.cli.options import Argument, CommandOptions, Option
from app.cli.split_options import Split
from app.commands.options.model import PRESET_NAMES


@dataclass(kw_only=True)
class BenchAccuracyOptions(CommandOptions):
    """The grid of trainings."""

    EXAMPLES = (
        "nextup bench accuracy --data ml-1m=ml-1m.csv --presets popular,sasrec --seeds 1,2,3 --out var/accuracy",
        "nextup bench accuracy --data shop=log.csv,items.csv --out var/accuracy --table results -- --max-minutes 10",
    )

    data: Annotated[list[str], Option("repeatable", metavar="NAME=LOG[,ITEMS]", repeat=True)]
    presets: Annotated[str, Option("comma-separated; the first is the baseline of comparisons", metavar="NAME,…")] = (
        ",".join(PRESET_NAMES)
    )
    variant: Annotated[
        list[str],
        Option(
            "additional row: a preset with other `nextup train` options; repeatable",
            metavar="'NAME=PRESET OPTIONS'",
            repeat=True,
        ),
    ] = field(default_factory=list)
    log_options: Annotated[
        list[str],
        Option("`nextup train` options of every run on one log; repeatable", metavar="'NAME=OPTIONS'", repeat=True),
    ] = field(default_factory=list)
    seeds: Annotated[list[int], Option("comma-separated", csv_of(non_negative_int), metavar="N,…")] = field(
        default_factory=lambda: [1]
    )
    out: Annotated[Path, Option("folder of artifacts and stored results", metavar="DIR", place="output_folder")]
    table: Annotated[Path | None, Option("write FILE.md and FILE.json", metavar="FILE")] = None
    split: Annotated[Split, Option("how events are held out, see `nextup train`")] = "leave-one-out"
    jobs: Annotated[int, Option("concurrent trainings", positive_int, metavar="N")] = 1
    train_options: Annotated[
        list[str], Argument("`nextup train` options for every run", metavar="-- OPTIONS", repeat=True)
    ] = field(default_factory=list)
