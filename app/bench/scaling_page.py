"""The HTML report of the scaling benchmark: latency and memory by catalogue size."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.bench.latency_figure import make_latency_section
from app.bench.scaling import MAX_P90_MS, ScaleResult, make_scaling_table
from models.reports.charts.drawing import Caption
from models.reports.charts.lines import Axes, Series, draw_lines
from models.reports.charts.rows import BarRow, draw_bars
from models.reports.page import Figure, Page, Section, Table
from models.text_table import format_bytes, format_number

LIMIT = (MAX_P90_MS, f"target of p90: {MAX_P90_MS:.0f} ms")


def build_scaling_page(results: Sequence[ScaleResult], result: Mapping[str, Any], facts: Mapping[str, str]) -> Page:
    """Build the page from the steps and the JSON result."""
    reasons = [f"{_name_step(step)}: {reason}" for step in results for reason in step.failure_reasons]
    return Page(
        "nextup bench scaling",
        f"Preset {result['preset']}, {result['workers']} workers, {result['seconds']:g} s per step",
        [
            ("steps passed", f"{sum(not step.failure_reasons for step in results)} of {len(results)}"),
            *([("largest step, p90, ms", format_number(results[-1].summary.percentiles_ms[90]))] if results else []),
        ],
        facts,
        [
            _make_step_section(results),
            make_latency_section({_name_step(step): step.summary for step in results}, LIMIT),
            _make_memory_section(results),
        ],
        [f"Not passed: {reason}" for reason in reasons],
    )


def _make_step_section(results: Sequence[ScaleResult]) -> Section:
    title = "Latency by catalogue size"
    series = []
    for q in (99, 90, 50):
        points = [(float(step.step.items), step.summary.percentiles_ms[q]) for step in results]
        series.append(Series(f"p{q}", [(items, value) for items, value in points if value is not None]))
    figures = []
    if any(each.points for each in series):
        caption = Caption("by-size", title, "p50, p90 and p99 in milliseconds by number of items, on logarithmic axes.")
        axes = Axes("items", "ms", is_log_x=True, is_log_y=True, limit=LIMIT)
        rows = [
            [_name_step(step), *(format_number(value, 2) for value in step.summary.percentiles_ms.values())]
            for step in results
        ]
        head = ["", *(f"p{q} ms" for q in results[0].summary.percentiles_ms)]
        figures.append(Figure(title, draw_lines(caption, series, axes), Table(head, rows)))
    text = "Each catalogue is served at its own request rate, which the label of a step names."
    return Section("steps", "Steps", text, figures, tables=[("Scaling table", Table(*make_scaling_table(results)))])


def _make_memory_section(results: Sequence[ScaleResult]) -> Section:
    figures = []
    sizes = [(_name_step(step), step.memory.pss) for step in results if step.memory is not None]
    for name, title, values in (
        ("memory", "Memory of the service (PSS)", sizes),
        ("disk", "Artifact on disk", [(_name_step(step), step.artifact_bytes) for step in results]),
    ):
        if values:
            rows = [BarRow(label, value, format_bytes(value)) for label, value in values]
            table = Table(["", "bytes"], [[label, f"{value:,}"] for label, value in values])
            figures.append(Figure(title, draw_bars(Caption(name, title, "A bar per step."), rows), table))
    return Section("bytes", "Memory and disk", figures=figures)


def _name_step(step: ScaleResult) -> str:
    return f"{step.step.items:,} items at {step.step.rate:,.6g}/s"
