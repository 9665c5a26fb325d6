"""The argument of commands that read an artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.options import Argument, CommandOptions


@dataclass(kw_only=True)
class ArtifactOptions(CommandOptions):
    """An artifact, as the first argument."""

    artifact: Annotated[Path, Argument("folder of the artifact", metavar="ARTIFACT")]
