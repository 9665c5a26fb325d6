"""A self-contained HTML page: sections with charts, the tables behind them, and texts.

It has no script and loads nothing: its style is inline, and its policy forbids requests. Jinja2 escapes all texts, and
characters that are not printable are replaced, whatever they come from (ADR-0080).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from models.printable import to_printable

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its header, and the other cells are right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with the table of its numbers, which is folded."""

    title: str
    chart: Markup
    table: Table
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A list of lines under a title, such as an example user; lines of `marked` are emphasized."""

    title: str
    note: str
    lists: Sequence[tuple[str, Sequence["CardLine"]]]


@dataclass(frozen=True, slots=True)
class CardLine:
    """A text with a detail behind it and a note below it."""

    text: str
    detail: str = ""
    note: str = ""
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: figures with panels, short tables next to them, and wide tables below.

    `notes` state what could not be measured.
    """

    name: str
    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    panels: Sequence[tuple[str, Table]] = ()
    tables: Sequence[tuple[str, Table]] = ()
    cards: Sequence[Card] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """`headlines` are the few numbers at the top, with their names; `facts` are shown as a list."""

    title: str
    subtitle: str
    headlines: Sequence[tuple[str, str]]
    facts: Mapping[str, str]
    sections: Sequence[Section]
    warnings: Sequence[str] = field(default=())


def render_page(page: Page) -> str:
    """Render a page as HTML."""
    return _load_template().render(page=page)


def write_page(path: Path, page: Page) -> None:
    path.write_text(render_page(page), encoding="utf-8")


@lru_cache(maxsize=1)
def _load_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_make_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _make_printable(value: object) -> object:
    """Replace characters that are not printable in a text that the template inserts, except in charts."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else to_printable(value)
