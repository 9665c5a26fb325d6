"""Evaluation metrics as text tables for the terminal."""

import math

from models.evaluation.evaluate import CUTOFFS
from models.evaluation.segments import Segments
from models.text_table import format_text_table


def format_metrics_table(values: dict[str, float]) -> str:
    """Format HR, NDCG and MRR by cutoff, and coverage@10; a line instead if nothing was measured."""
    if math.isnan(values["coverage@10"]):
        return "nothing measured"
    table = format_text_table(["", *(f"@{k}" for k in CUTOFFS)], _make_rows(values))
    return f"{table}\ncoverage@10 {values['coverage@10']:.3f}"


def format_segments(segments: Segments) -> str:
    """Format the metrics of groups of cases."""
    return format_text_table(*_make_segment_table(segments))


def _make_rows(values: dict[str, float]) -> list[list[str]]:
    return [[name.upper(), *(f"{values[f'{name}@{k}']:.4f}" for k in CUTOFFS)] for name in ("hr", "ndcg", "mrr")]


def _make_segment_table(segments: Segments) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, f"{row['cases']:,.0f}", f"{row['ndcg@10']:.4f}", f"{row['hr@10']:.4f}"] for name, row in segments.items()
    ]
    return ["", "cases", "NDCG@10", "HR@10"], rows
