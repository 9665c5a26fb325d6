"""Parts of all charts: the SVG frame with its title and description, texts and marks.

Charts contain no color and no font: classes refer to the style sheet of the page, which has a light and a dark
scheme. Everything from a log is escaped by `Markup.format`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from models.printable import to_printable

WIDTH = 380
"""Units of width; a chart is shown as wide as a phone, or up to a quarter wider."""
MAX_LABEL = 36
"""Characters of a label; longer ones are cut, and the table next to a chart has them in full."""


@dataclass(frozen=True, slots=True)
class Caption:
    """Names a chart: `name` is its id on the page, the title and the description are read aloud."""

    name: str
    title: str
    description: str


def wrap_svg(caption: Caption, height: float, parts: Iterable[Markup]) -> Markup:
    """Wrap parts into an image with a title and a description."""
    head = Markup(
        '<svg class="chart" viewBox="0 0 {} {:.0f}" role="img" aria-labelledby="{}-title {}-description">'
        '<title id="{}-title">{}</title><desc id="{}-description">{}</desc>'
    )
    name = caption.name
    texts = (to_printable(caption.title), to_printable(caption.description))
    opening = head.format(WIDTH, height, name, name, name, texts[0], name, texts[1])
    return opening + Markup("").join(parts) + Markup("</svg>")


def draw_text(x: float, y: float, text: str, kind: str = "label", anchor: str = "start") -> Markup:
    """Draw a text of at most `MAX_LABEL` characters."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, shorten(text)
    )


def draw_line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def draw_bar(x: float, y: float, width: float, height: float, kind: str, hint: str) -> Markup:
    """Draw a rectangle with a hint, which a pointer shows."""
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5"><title>{}</title></rect>'
    ).format(kind, x, y, max(0.0, width), max(0.0, height), shorten(hint, 200))


def draw_dot(x: float, y: float, kind: str, hint: str, radius: float = 5) -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"><title>{}</title></circle>').format(
        kind, x, y, radius, shorten(hint, 200)
    )


def draw_path(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Draw a line through points."""
    positions = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, positions)


def shorten(text: str, limit: int = MAX_LABEL) -> str:
    """Cut a text, and replace characters that are not printable."""
    text = to_printable(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
