"""The HTML report of a serving benchmark: throughput and latency of the service, next to reference servers."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.bench.latency_figure import list_latency_headlines, make_latency_section
from app.bench.serve.report import GENERATOR, ServerSummary, format_remarks, make_rounds_table
from models.reports.charts.drawing import Caption
from models.reports.charts.rows import BarRow, draw_bars
from models.reports.page import Figure, Page, Section, Table


def build_serve_page(
    summaries: Mapping[str, ServerSummary],
    result: Mapping[str, Any],
    facts: Mapping[str, str],
    reasons: Sequence[str],
) -> Page:
    """Build the page from the summaries and the JSON result; `reasons` are missed targets."""
    servers = {name: summary for name, summary in summaries.items() if name != GENERATOR}
    missing = [f"{name} was not measured: {reason}" for name, reason in result["not_measured"].items()]
    remarks = format_remarks(summaries["recommend"], summaries[GENERATOR])
    loop = (
        f"{result['connections']} connections" if result["rate"] is None else f"{result['rate']:g} requests/s offered"
    )
    return Page(
        "nextup bench serve",
        f"POST /recommend, {loop}, {result['workers']} workers each, {result['users']:,} users",
        [*list_latency_headlines(summaries["recommend"]), ("targets", "met" if result["passed"] else "missed")],
        {"model version": str(result["model_version"] or "not known"), **facts},
        [
            _make_rate_section(servers, remarks, missing),
            make_latency_section(servers),
        ],
        [f"Not passed: {reason}" for reason in reasons],
    )


def _make_rate_section(servers: Mapping[str, ServerSummary], remarks: Sequence[str], missing: Sequence[str]) -> Section:
    rows = [
        BarRow(name, summary.rps, f"{summary.rps:,.0f}", "fill-0" if name.startswith("recommend") else "fill-4")
        for name, summary in servers.items()
    ]
    title = "Responses per second"
    caption = Caption("rates", title, "A bar per server: the median over rounds.")
    rates = [", ".join(f"{rate:,.0f}" for rate in summary.rounds_rps) for summary in servers.values()]
    cells = [[row.label, row.text, each] for row, each in zip(rows, rates, strict=True)]
    table = Table(["", "responses/s", "rounds"], cells)
    return Section(
        "throughput",
        "Throughput",
        "Servers are measured in interleaved rounds; rates and percentiles are medians over rounds.",
        [Figure(title, draw_bars(caption, rows), table)],
        tables=[("Servers", Table(*make_rounds_table(servers.values())))],
        notes=[*remarks, *missing],
    )
