"""Histograms: a column per bin."""

from collections.abc import Sequence

from markupsafe import Markup

from models.reports.charts.drawing import WIDTH, Caption, draw_bar, draw_line, draw_text, wrap_svg
from models.reports.charts.scale import format_tick, make_scale

TOP, BOTTOM, HEIGHT = 12, 168, 196
START, STOP = 46, WIDTH - 6
LABEL_CHARACTER = 7.5
"""Width of a character of a label, and of the gap between two of them."""


def draw_columns(caption: Caption, labels: Sequence[str], counts: Sequence[float]) -> Markup:
    """Draw a column per bin; as many labels as fit are shown."""
    scale = make_scale(list(counts), BOTTOM, TOP, from_zero=True)
    parts = [Markup("")]
    for tick in scale.list_ticks():
        y = scale.place(tick)
        parts.append(draw_line(START, y, STOP, y, "grid"))
        parts.append(draw_text(START - 6, y + 4, format_tick(tick), "tick", "end"))
    width = (STOP - START) / max(1, len(counts))
    stride = max(1, round(LABEL_CHARACTER * (1 + max(map(len, labels), default=0)) / width + 0.5))
    for number, (label, count) in enumerate(zip(labels, counts, strict=True)):
        x, y = START + number * width, scale.place(count)
        gap = min(2.0, 0.1 * width)
        parts.append(draw_bar(x + gap, y, width - 2 * gap, BOTTOM - y, "fill-0", f"{label}: {count:,.6g}"))
        if number % stride == 0:
            parts.append(draw_text(x + width / 2, BOTTOM + 17, label, "tick", "middle"))
    parts.append(draw_line(START, BOTTOM, STOP, BOTTOM, "axis"))
    return wrap_svg(caption, HEIGHT, parts)
