"""Line charts with linear or logarithmic axes."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from models.reports.charts.drawing import WIDTH, Caption, draw_dot, draw_line, draw_path, draw_text, wrap_svg
from models.reports.charts.scale import Scale, format_tick, make_scale

TOP, BOTTOM, HEIGHT = 24, 216, 262
START, STOP = 52, WIDTH - 14
LEGEND_ROW, LEGEND_NAME = 20, 20
"""Height of a row of the legend, and characters of a name up to which it has two columns."""
MAX_KINDS = 6
"""Classes of lines in the style sheet: colors with different dashes."""
WHOLE_TOLERANCE = 1e-6
MAX_DOTS = 40
"""Points up to which each is marked."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line through points, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axes:
    """Labels of both axes, and whether they are logarithmic; `limit` is a horizontal line with its label.

    With `is_whole_x` only whole numbers are ticks of the horizontal axis.
    """

    x: str
    y: str
    is_log_x: bool = False
    is_log_y: bool = False
    is_whole_x: bool = False
    from_zero: bool = False
    limit: tuple[float, str] | None = None


def draw_lines(caption: Caption, series: Sequence[Series], axes: Axes) -> Markup:
    """Draw a line per series, with a legend if there are several."""
    columns = 2 if all(len(each.name) <= LEGEND_NAME for each in series) else 1
    offset = 0 if len(series) < 2 else LEGEND_ROW * -(-len(series) // columns)
    points = [point for each in series for point in each.points]
    limit = [] if axes.limit is None else [axes.limit[0]]
    x_scale = make_scale([x for x, _ in points], START, STOP, is_log=axes.is_log_x)
    y_scale = make_scale(
        [*(y for _, y in points), *limit], offset + BOTTOM, offset + TOP, is_log=axes.is_log_y, from_zero=axes.from_zero
    )
    parts = _draw_axes(x_scale, y_scale, axes)
    if axes.limit is not None:
        y = y_scale.place(axes.limit[0])
        parts.append(draw_line(START, y, STOP, y, "limit"))
        parts.append(draw_text(START + 4, y - 5, axes.limit[1], "tick"))
    for number, each in enumerate(series):
        kind = number % MAX_KINDS
        places = [(x_scale.place(x), y_scale.place(y)) for x, y in each.points]
        parts.append(draw_path(places, f"line-{kind}"))
        if len(places) <= MAX_DOTS:
            for (x, y), point in zip(places, each.points, strict=True):
                parts.append(draw_dot(x, y, f"fill-{kind}", f"{each.name}: {point[0]:,.6g}, {point[1]:,.6g}", 3))
        if offset:
            parts += _draw_legend_entry(number, columns, kind, each.name)
    return wrap_svg(caption, offset + HEIGHT, parts)


def _draw_axes(x_scale: Scale, y_scale: Scale, axes: Axes) -> list[Markup]:
    top, bottom = y_scale.stop, y_scale.start
    parts = []
    for tick in y_scale.list_ticks():
        y = y_scale.place(tick)
        parts.append(draw_line(START, y, STOP, y, "grid"))
        parts.append(draw_text(START - 6, y + 4, format_tick(tick), "tick", "end"))
    for tick in x_scale.list_ticks():
        if axes.is_whole_x and abs(tick - round(tick)) > WHOLE_TOLERANCE:
            continue
        x = x_scale.place(tick)
        parts.append(draw_line(x, bottom, x, bottom + 4, "axis"))
        parts.append(draw_text(x, bottom + 18, format_tick(tick), "tick", "middle"))
    parts.append(draw_line(START, bottom, STOP, bottom, "axis"))
    parts.append(draw_text((START + STOP) / 2, bottom + 38, axes.x, "tick", "middle"))
    parts.append(draw_text(4, top - 12, axes.y, "tick"))
    return parts


def _draw_legend_entry(number: int, columns: int, kind: int, name: str) -> list[Markup]:
    x = 4 + (number % columns) * WIDTH / columns
    y = 10 + number // columns * LEGEND_ROW
    return [draw_line(x, y, x + 26, y, f"line-{kind}"), draw_text(x + 32, y + 4, name)]
