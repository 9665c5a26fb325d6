"""Options of `nextup monitoring`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from app.cli.arguments import parse_page_url
from app.cli.options import CommandOptions, Option


@dataclass(kw_only=True)
class MonitoringOptions(CommandOptions):
    """Where files are written."""

    EXAMPLES = (
        "nextup monitoring --out docker",
        "nextup monitoring --out grafana --runbook-url https://wiki.example/nextup/runbook",
    )

    out: Annotated[Path, Option("output folder; existing files are replaced", metavar="DIR", place="output_folder")]
    runbook_url: Annotated[
        str | None,
        Option(
            "address of docs/runbook.md as your people reach it: alerts get it as runbook_url, dashboards as links",
            parse_page_url,
            metavar="URL",
            default="the path in the repository, without links",
        ),
    ] = None
