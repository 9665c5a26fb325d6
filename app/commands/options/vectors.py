"""Options of `nextup vectors`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from app.cli.log_options import LogOptions
from app.cli.options import Argument, Option
from app.commands.options.artifact import ArtifactOptions


@dataclass(kw_only=True)
class VectorsOptions(LogOptions, ArtifactOptions):
    """The model, and the users whose vectors are computed."""

    EXAMPLES = (
        "nextup vectors var/shop --out items.parquet",
        "nextup vectors var/shop ratings.csv --out vectors.parquet",
    )

    interactions: Annotated[
        list[Path],
        Argument("log of the users whose vectors are added", metavar="INTERACTIONS", repeat=True, default="items only"),
    ] = field(default_factory=list)
    out: Annotated[Path, Option("Parquet file with kind, id and vector", metavar="FILE", place="output_file")]
