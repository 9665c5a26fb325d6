"""Reports of evaluation metrics: a text table for the terminal and an HTML page."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from models.evaluation.comparison import Comparison
from models.evaluation.evaluate import CUTOFFS
from models.evaluation.segments import Segments
from models.text_table import format_text_table

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;margin:1rem 0}}img{{max-width:100%}}
td,th{{padding:.25rem .9rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child{{text-align:left}}</style>
<h1>{title}</h1>{body}</html>
"""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A further table of the HTML page."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def format_metrics_table(values: dict[str, float]) -> str:
    """Format HR, NDCG and MRR by cutoff, and coverage@10; a line instead if nothing was measured."""
    if math.isnan(values["coverage@10"]):
        return "nothing measured"
    table = format_text_table(["", *(f"@{k}" for k in CUTOFFS)], _make_rows(values))
    return f"{table}\ncoverage@10 {values['coverage@10']:.3f}"


def format_segments(segments: Segments) -> str:
    """Format the metrics of groups of cases."""
    return format_text_table(*_make_segment_table(segments))


def make_report_tables(segments: Segments, comparison: Comparison | None, notes: Sequence[str]) -> list[ReportTable]:
    """Make the tables of the baselines, the warnings and the groups of cases."""
    tables = [] if comparison is None else [ReportTable("Baselines", *comparison.make_table())]
    tables += [ReportTable("Warnings", ["warning"], [[note] for note in notes])] if notes else []
    return [*tables, ReportTable("Groups of cases", *_make_segment_table(segments))]


def render_html_report(
    title: str,
    values: dict[str, float],
    facts: dict[str, str],
    curve_png: bytes | None,
    tables: Sequence[ReportTable] = (),
) -> str:
    """Render a self-contained page; all text is escaped."""
    head = "".join(f"<th>@{k}</th>" for k in CUTOFFS)
    metrics = "".join(_render_row(row) for row in _make_rows(values))
    body = f"<table><tr><th></th>{head}</tr>{metrics}</table>"
    body += "<table>" + "".join(_render_row(list(fact)) for fact in facts.items()) + "</table>"
    for table in tables:
        titles = "".join(f"<th>{escape(name)}</th>" for name in table.head)
        lines = "".join(_render_row(list(row)) for row in table.rows)
        body += f"<h2>{escape(table.title)}</h2><table><tr>{titles}</tr>{lines}</table>"
    if curve_png is not None:
        body += f'<img alt="training curve" src="data:image/png;base64,{base64.b64encode(curve_png).decode()}">'
    return PAGE.format(title=escape(title), body=body)


def _make_rows(values: dict[str, float]) -> list[list[str]]:
    return [[name.upper(), *(f"{values[f'{name}@{k}']:.4f}" for k in CUTOFFS)] for name in ("hr", "ndcg", "mrr")]


def _make_segment_table(segments: Segments) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, f"{row['cases']:,.0f}", f"{row['ndcg@10']:.4f}", f"{row['hr@10']:.4f}"] for name, row in segments.items()
    ]
    return ["", "cases", "NDCG@10", "HR@10"], rows


def _render_row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
