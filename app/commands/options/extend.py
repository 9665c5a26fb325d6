"""Options of `nextup extend`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.log_options import LogOptions
from app.cli.options import Argument, Option
from app.commands.options.artifact import ArtifactOptions


@dataclass(kw_only=True)
class ExtendOptions(LogOptions, ArtifactOptions):
    """New items and transitions, from a log and a file of items."""

    EXAMPLES = (
        "nextup extend var/shop new_events.csv --items products.csv --out var/shop-extended",
        "nextup extend var/shop all_events.csv --recount --no-new-items --out var/shop-today",
    )

    artifact: Annotated[Path, Argument("folder of the artifact to extend", metavar="ARTIFACT")]
    items: Annotated[
        Path | None,
        Option(
            "titles, categories and attributes of items, including items without events",
            metavar="FILE",
            place="input_file",
        ),
    ] = None
    recount: Annotated[
        bool, Option("count the followers in the transition memory again, in this log, which must have all events")
    ] = False
    no_new_items: Annotated[bool, Option("with --recount: keep the catalogue")] = False
    out: Annotated[Path, Option("folder for the extended artifact", metavar="DIR", place="output_folder")]
    overwrite: Annotated[bool, Option("replace an existing artifact in --out")] = False
