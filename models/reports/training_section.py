"""Section of a report about the training: loss and validation metric by epoch."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.reports.charts.drawing import Caption
from models.reports.charts.lines import Axes, Series, draw_lines
from models.reports.page import Figure, Section, Table

MAX_LOG_BYTES = 4 << 20
MAX_POINTS = 400
"""Epochs that are drawn, evenly spaced."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """An epoch; `ndcg` is None where it was not validated."""

    epoch: int
    loss: float
    ndcg: float | None
    seconds: float
    learning_rate: float


def read_curve(path: Path) -> list[CurvePoint]:
    """Read the log of a training; empty if there is none, or if it is not readable."""
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            return []
        return [make_point(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, TypeError):
        return []


def make_point(
    *, epoch: int, loss: float, ndcg: float | None, seconds: float, learning_rate: float, **_: object
) -> CurvePoint:
    """Make a point from the fields of an epoch's record."""
    is_validated = ndcg is not None and not math.isnan(ndcg)
    return CurvePoint(int(epoch), float(loss), ndcg if is_validated else None, float(seconds), float(learning_rate))


def make_training_section(curve: Sequence[CurvePoint]) -> Section:
    name, title = "training", "Training"
    if not curve:
        return Section(name, title, notes=["No epochs: the model is not trained step by step, or its log is missing."])
    num_points = min(len(curve), MAX_POINTS)
    points = [curve[row * (len(curve) - 1) // max(1, num_points - 1)] for row in range(num_points)]
    trained = [point for point in points if point.epoch > 0]
    table = _make_table(points)
    figures = []
    if trained:
        figures.append(_make_figure("loss", "Training loss", [(point.epoch, point.loss) for point in trained], table))
    validated = [(point.epoch, point.ndcg) for point in points if point.ndcg is not None]
    if validated:
        figures.append(_make_figure("validation", "Validation NDCG@10", validated, table))
    total_s = sum(point.seconds for point in curve)
    num_epochs = sum(point.epoch > 0 for point in curve)  # epoch 0 is the validation of the start
    text = f"{num_epochs:,} {'epoch' if num_epochs == 1 else 'epochs'}, {total_s:,.1f} s without validation."
    text += _describe_best(curve)
    notes = [] if validated else ["No epoch was validated."]
    return Section(name, title, text, figures, notes=notes)


def _describe_best(curve: Sequence[CurvePoint]) -> str:
    """Name the best validated epoch of the last stage, whose weights are kept; empty if none was validated."""
    start = max((row for row, point in enumerate(curve) if point.epoch == 0), default=0)
    stage = " of the second stage" if start else ""
    validated = [(point.ndcg, point.epoch) for point in curve[start:] if point.ndcg is not None]
    if not validated:
        return ""
    value, epoch = max(validated)
    number = f"{epoch}" if epoch else "0, before its training,"
    return f" The best validated epoch{stage} is {number} with NDCG@10 {value:.4f}."


def _make_figure(name: str, title: str, points: Sequence[tuple[float, float]], table: Table) -> Figure:
    caption = Caption(name, title, f"{title} by epoch.")
    chart = draw_lines(caption, [Series(title, points)], Axes("epoch", "", is_whole_x=True))
    return Figure(title, chart, table)


def _make_table(points: Sequence[CurvePoint]) -> Table:
    return Table(
        ["epoch", "loss", "validation NDCG@10", "learning rate", "seconds"],
        [
            [
                str(point.epoch),
                f"{point.loss:.4f}",
                "-" if point.ndcg is None else f"{point.ndcg:.4f}",
                f"{point.learning_rate:.2g}",
                f"{point.seconds:,.1f}",
            ]
            for point in points
        ],
    )
