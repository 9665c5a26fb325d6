"""Charts of one line per row: bars, values with intervals, and pairs of values.

The label is above its marks, so that long labels fit into a narrow page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from models.reports.charts.drawing import WIDTH, Caption, draw_bar, draw_dot, draw_line, draw_text, wrap_svg
from models.reports.charts.scale import Scale, format_tick, make_scale

ROW, BAR, AXIS = 40, 11, 24
START, STOP = 2, WIDTH - 6


@dataclass(frozen=True, slots=True)
class BarRow:
    """A bar from zero; `text` is its value for people, `kind` a class of the style sheet."""

    label: str
    value: float
    text: str
    kind: str = "fill-0"


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A value within an interval."""

    label: str
    value: float
    low: float
    high: float
    text: str
    kind: str = "fill-0"


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two values that are compared."""

    label: str
    first: float
    second: float
    text: str


def draw_bars(caption: Caption, rows: Sequence[BarRow]) -> Markup:
    """Draw a bar per row, all on one scale from zero."""
    scale = make_scale([row.value for row in rows], START, STOP, from_zero=True)
    parts = [Markup("")]
    for number, row in enumerate(rows):
        y = number * ROW
        parts += _draw_labels(y, row.label, row.text)
        width = scale.place(row.value) - START
        hint = f"{row.label}: {row.text}"
        parts.append(draw_bar(START, y + 19, max(width, 1.0 if row.value else 0.0), BAR, row.kind, hint))
    return wrap_svg(caption, len(rows) * ROW, parts)


def draw_intervals(caption: Caption, rows: Sequence[IntervalRow]) -> Markup:
    """Draw a dot and its interval per row, all on one scale from zero."""
    values = [value for row in rows for value in (row.low, row.high, row.value)]
    scale = make_scale(values, START + 8, STOP - 8, from_zero=True)
    parts = _draw_axis(scale, len(rows))
    for number, row in enumerate(rows):
        y = number * ROW
        parts += _draw_labels(y, row.label, row.text)
        parts.append(draw_line(scale.place(row.low), y + 24, scale.place(row.high), y + 24, "whisker"))
        parts.append(draw_dot(scale.place(row.value), y + 24, row.kind, f"{row.label}: {row.text}"))
    return wrap_svg(caption, len(rows) * ROW + AXIS, parts)


def draw_pairs(caption: Caption, rows: Sequence[PairRow], names: tuple[str, str]) -> Markup:
    """Draw two dots per row, joined by a line: an open one for the first value, a full one for the second."""
    scale = make_scale(
        [value for row in rows for value in (row.first, row.second)], START + 8, STOP - 8, from_zero=True
    )
    parts = _draw_axis(scale, len(rows), top=ROW)
    parts += [
        draw_dot(START + 8, 12, "open-1", names[0]), draw_text(START + 20, 16, names[0]),
        draw_dot(START + 150, 12, "fill-0", names[1]), draw_text(START + 162, 16, names[1]),
    ]  # fmt: skip
    for number, row in enumerate(rows, 1):
        y = number * ROW
        first, second = scale.place(row.first), scale.place(row.second)
        parts += _draw_labels(y, row.label, row.text)
        parts.append(draw_line(first, y + 24, second, y + 24, "whisker"))
        parts.append(draw_dot(first, y + 24, "open-1", f"{row.label}, {names[0]}"))
        parts.append(draw_dot(second, y + 24, "fill-0", f"{row.label}, {names[1]}", 4))
    return wrap_svg(caption, (len(rows) + 1) * ROW + AXIS, parts)


def _draw_labels(y: float, label: str, text: str) -> list[Markup]:
    return [draw_text(START, y + 14, label), draw_text(STOP, y + 14, text, "value", "end")]


def _draw_axis(scale: Scale, num_rows: int, *, top: float = 0) -> list[Markup]:
    """Draw a vertical line per tick behind the rows, with its value at the bottom."""
    bottom = top + num_rows * ROW
    parts = []
    for tick in scale.list_ticks():
        x = scale.place(tick)
        parts.append(draw_line(x, top, x, bottom, "grid"))
        parts.append(draw_text(x, bottom + 16, format_tick(tick), "tick", "middle"))
    return parts
