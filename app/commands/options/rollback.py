"""Options of `nextup rollback`."""

from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import positive_float
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class RollbackOptions(CommandOptions):
    """The service."""

    EXAMPLES = ("nextup rollback", "nextup rollback --url http://10.0.0.5:8000")

    url: Annotated[
        str | None,
        Option(
            "base URL of the running service",
            metavar="URL",
            default="the service on NEXTUP_PORT of this machine, if one is running",
        ),
    ] = None
    key: Annotated[str | None, Option("API key with the scope admin, if the service requires keys", metavar="KEY")] = (
        None
    )
    wait: Annotated[float, Option("longest wait for the activation, in seconds", positive_float, metavar="S")] = 600.0
