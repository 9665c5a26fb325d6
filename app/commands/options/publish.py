"""Options of `nextup publish`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import duration_in, float_in, fraction, positive_float, positive_int
from app.cli.options import Argument, Option
from app.commands.options.artifact import ArtifactOptions


@dataclass(kw_only=True)
class PublishOptions(ArtifactOptions):
    """The version, the repository and the service."""

    EXAMPLES = (
        "nextup publish var/shop --into var/models",
        "nextup publish var/next --shadow 10m --min-overlap 0.3",
        "nextup publish var/next --inactive",
        "nextup publish var/shop --into /srv/models --url http://10.0.0.5:8000 --keep 5",
    )

    artifact: Annotated[Path, Argument("folder of the artifact to publish", metavar="ARTIFACT")]
    into: Annotated[
        Path | None,
        Option(
            "model repository of the service",
            metavar="DIR",
            default="the folder that the running service names, else NEXTUP_ARTIFACT",
            place="output_folder",
        ),
    ] = None
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
    keep: Annotated[
        int | None,
        Option(
            "afterwards remove all but the newest N published versions",
            positive_int,
            metavar="N",
            default="remove none",
        ),
    ] = None
    shadow: Annotated[
        float | None,
        Option(
            "first let the version answer requests of the running service in the background for this long, such as 10m",
            duration_in(1, 43_200),
            metavar="TIME",
            default="activate immediately",
        ),
    ] = None
    shadow_share: Annotated[
        float, Option("share of the requests for --shadow", float_in(0, 1, low_open=True), metavar="SHARE")
    ] = 0.1
    min_overlap: Annotated[
        float | None,
        Option(
            "with --shadow: reject a version that shares fewer of the first 10 items with the serving one",
            fraction,
            metavar="SHARE",
            default="0",
        ),
    ] = None
    inactive: Annotated[
        bool, Option("copy the version and do not activate it, as for an experiment; with --shadow, after the trial")
    ] = False
    force: Annotated[bool, Option("also publish a model that is worse than its baselines on held-out events")] = False
