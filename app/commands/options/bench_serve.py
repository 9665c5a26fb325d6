"""Options of `nextup bench serve`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from app.cli.arguments import csv_ints, csv_of, float_in, int_in, json_object, name_in, positive_float, seed_int
from app.cli.log_options import LogOptions
from app.cli.options import Argument, Option

PEER_NAMES = ("naive", "torchserve", "naive_native", "torchserve_native")
"""The peers of app/bench/serve/report.py; a test compares them."""
TARGETS = "Targets"


@dataclass(kw_only=True)
class BenchServeOptions(LogOptions):
    """Servers, load and targets."""

    EXAMPLES = (
        "nextup bench serve ratings.csv --artifact var/shop",
        "nextup bench serve ratings.csv --artifact var/shop --workers 1,2 --peers naive --seconds 60",
        "nextup bench serve --url http://127.0.0.1:8000 --rate 500",
    )

    interactions: Annotated[
        list[Path],
        Argument(
            "log to load into a temporary store and request",
            metavar="INTERACTIONS",
            repeat=True,
            default="the histories of the configured store",
        ),
    ] = field(default_factory=list)
    artifact: Annotated[Path | None, Option("artifact folder", metavar="DIR", default="NEXTUP_ARTIFACT")] = None
    workers: Annotated[
        list[int],
        Option(
            "HTTP processes; every number is measured, and peers use the last one",
            csv_ints,
            metavar="N,…",
            default="NEXTUP_WORKERS",
        ),
    ] = field(default_factory=list)
    url: Annotated[
        str | None, Option("measure this running service, which uses the configured store", metavar="URL")
    ] = None
    rate: Annotated[
        float | None,
        Option("offered load in requests per second (open loop)", float_in(0, 1_000_000, low_open=True), metavar="R"),
    ] = None
    writes: Annotated[float, Option("share of writes", float_in(0, 1, high_open=True), metavar="SHARE")] = 0.0
    filter: Annotated[Any, Option("filter of every request", json_object, metavar="JSON")] = None
    rules: Annotated[
        Any, Option("boost, promote, limit_per and diversity of every request", json_object, metavar="JSON")
    ] = None
    peers: Annotated[
        list[str],
        Option(
            f"servers measured interleaved with the service: {', '.join(PEER_NAMES)}",
            csv_of(name_in(PEER_NAMES)),
            metavar="NAME,…",
        ),
    ] = field(default_factory=list)
    torchserve: Annotated[Path, Option("Python environment of TorchServe, created if missing", metavar="DIR")] = Path(
        "var/torchserve"
    )
    connections: Annotated[
        int, Option("concurrent requests; with --rate, their maximum", int_in(1, 10_000), metavar="N")
    ] = 64
    seconds: Annotated[float, Option("measured per server, all rounds together", positive_float, metavar="S")] = 30.0
    rounds: Annotated[int, Option("interleaved rounds per server", int_in(1, 1_000), metavar="N")] = 3
    k: Annotated[int, Option("items per request", int_in(1, 1_000), metavar="N")] = 10
    seed: Annotated[int, Option("seed of the sampled users and arrival times", seed_int, metavar="N")] = 0
    min_rps: Annotated[float | None, Option("target: minimum responses per second", metavar="R", panel=TARGETS)] = None
    max_p99_ms: Annotated[float | None, Option("target: maximum 99th percentile", metavar="MS", panel=TARGETS)] = None
    record: Annotated[
        Path | None, Option("write serve.md and serve.json to this folder", metavar="DIR", place="output_folder")
    ] = None
    report: Annotated[
        Path | None,
        Option("also write an HTML report", metavar="FILE.html", place="output_file"),
    ] = None
