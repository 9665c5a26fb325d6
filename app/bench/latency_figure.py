"""A figure of the latency distributions of several servers or steps, for HTML reports of benchmarks."""

from collections.abc import Mapping, Sequence

from app.bench.serve.report import ServerSummary
from models.reports.charts.drawing import Caption
from models.reports.charts.lines import MAX_KINDS, Axes, Series, draw_lines
from models.reports.page import Figure, Section, Table
from models.text_table import format_number

NAME, TITLE = "latency", "Latency distribution"


def make_latency_section(summaries: Mapping[str, ServerSummary], limit: tuple[float, str] | None = None) -> Section:
    """Show the latency that one read in n exceeds, a line per entry; at most as many as there are kinds of lines."""
    drawn_summaries = {name: each for name, each in list(summaries.items())[:MAX_KINDS] if each.tail_ms}
    if not drawn_summaries:
        return Section(NAME, TITLE, notes=["Not measured: there were no responses."])
    caption = Caption(NAME, TITLE, "Latency in milliseconds that one read in n exceeds, on logarithmic axes.")
    series = [Series(name, each.tail_ms) for name, each in drawn_summaries.items()]
    axes = Axes("one read in n is slower", "ms", is_log_x=True, is_log_y=True, limit=limit)
    steps = max((each.points for each in series), key=len)
    values = [dict(each.points) for each in series]
    table = Table(
        ["one read in", *drawn_summaries],
        [[f"{n:,.6g}", *(format_number(points.get(n), 2) for points in values)] for n, _ in steps],
    )
    text = (
        "2 is the median, 10 the 90th percentile and 100 the 99th, over all rounds together. A percentile of the table "
        "of servers is the median of those of the rounds, because a shared machine has slow minutes."
    )
    return Section(NAME, TITLE, text, [Figure(TITLE, draw_lines(caption, series, axes), table)])


def list_latency_headlines(summary: ServerSummary) -> Sequence[tuple[str, str]]:
    """The few numbers of a server at the top of a page."""
    return [
        ("responses/s", f"{summary.rps:,.0f}"),
        *((f"p{q}, ms", format_number(value)) for q, value in summary.percentiles_ms.items()),
        ("errors", f"{summary.error_count:,}"),
    ]
