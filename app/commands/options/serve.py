"""Options of `nextup serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import port_int
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class ServeOptions(CommandOptions):
    """Settings that are also options; None is the value of the environment."""

    EXAMPLES = ("nextup serve --demo", "nextup serve --artifact var/shop --port 8080 --workers auto")

    artifact: Annotated[
        Path | None,
        Option(
            "folder of the artifact or of published versions",
            metavar="DIR",
            default="NEXTUP_ARTIFACT, else var/demo",
        ),
    ] = None
    host: Annotated[
        str | None, Option("address to listen on", metavar="HOST", default="NEXTUP_HOST, else 127.0.0.1")
    ] = None
    port: Annotated[
        int | None,
        Option("port to listen on, 0 to 65535", port_int, metavar="PORT", default="NEXTUP_PORT, else 8000"),
    ] = None
    unix_socket: Annotated[
        Path | None,
        Option(
            "Unix socket to listen on instead of an address and a port",
            metavar="PATH",
            default="NEXTUP_UNIX_SOCKET, else none",
        ),
    ] = None
    workers: Annotated[
        str | None,
        Option(
            "HTTP processes, 1 to 256; auto = by cores, memory and device",
            metavar="N|auto",
            default="NEXTUP_WORKERS, else 1",
        ),
    ] = None
    model_process: Annotated[
        str | None,
        Option(
            "in_process: a model in each worker; dedicated: one model process for all workers; auto",
            metavar="PLACEMENT",
            default="NEXTUP_MODEL_PROCESS, else auto",
        ),
    ] = None
    demo: Annotated[bool, Option("train a demo artifact if there is none, and load demo users")] = False
