"""Options of `nextup doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import port_int
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class DoctorOptions(CommandOptions):
    """Settings to check instead of those of the environment."""

    EXAMPLES = ("nextup doctor", "nextup doctor --artifact var/shop --port 8080", "nextup doctor --json --quiet")

    artifact: Annotated[
        Path | None,
        Option("folder of the artifact or of published versions", metavar="DIR", default="NEXTUP_ARTIFACT"),
    ] = None
    port: Annotated[
        int | None, Option("port that a service would listen on", port_int, metavar="PORT", default="NEXTUP_PORT")
    ] = None
