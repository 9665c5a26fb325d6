"""Pages are well-formed and self-contained whatever texts they show."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from models.printable import to_printable
from models.reports.charts.columns import draw_columns
from models.reports.charts.drawing import Caption
from models.reports.charts.lines import Axes, Series, draw_lines
from models.reports.charts.rows import BarRow, IntervalRow, PairRow, draw_bars, draw_intervals, draw_pairs
from models.reports.charts.scale import format_tick, make_scale
from models.reports.page import Card, CardLine, Figure, Page, Section, Table, render_page
from service_tests.support.html_pages import check_self_contained, parse_html

HOSTILE = [
    "<script>alert(1)</script>", "</svg></title><img src=x onerror=alert(1)>", '" onload="alert(1)', "' x='",
    "{{ 7 * 7 }}", "{% include 'style.css' %}", "]]>", "<!--", "&lt;", "javascript:alert(1)", "</style>",
    "\u202egnp.exe", "\x00\x1b[31m", "\ud800",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=12), min_size=1, max_size=3).map("".join)


def draw_all_charts(text: str) -> list[Markup]:
    names = iter(f"chart-{number}" for number in range(9))

    def caption() -> Caption:
        return Caption(next(names), text, text)

    return [
        draw_bars(caption(), [BarRow(text, 2.0, text), BarRow(text, 0.0, text)]),
        draw_intervals(caption(), [IntervalRow(text, 0.2, 0.1, 0.4, text)]),
        draw_pairs(caption(), [PairRow(text, 0.2, 0.1, text)], (text, text)),
        draw_columns(caption(), [text, text], [3, 0]),
        draw_lines(caption(), [Series(text, [(1, 2), (3, 4)])] * 3, Axes(text, text, limit=(3.0, text))),
    ]


def make_page(text: str) -> Page:
    table = Table([text, text], [[text, text]])
    section = Section(
        "section",
        text,
        text,
        [Figure(text, chart, table, text) for chart in draw_all_charts(text)],
        [(text, table)],
        [(text, table)],
        [Card(text, text, [(text, [CardLine(text, text, text), CardLine(text, is_marked=True)])])],
        [text],
    )
    return Page(text, text, [(text, text)], {text: text}, [section], [text])


PLAIN = parse_html(render_page(make_page("plain")))


@settings(max_examples=40)
@given(TEXTS)
def test_text_of_a_log_changes_no_element_of_the_page(text: str) -> None:
    page = parse_html(render_page(make_page(text)))
    assert page.structure == parse_html(render_page(make_page("x" * len(text)))).structure
    assert page.style == PLAIN.style
    check_self_contained(page)
    assert to_printable(text) in page.text
    assert not any(character in page.text for character in ("\x00", "\x1b", "\u202e", "\ud800"))


def test_page_is_written_whatever_characters_it_has() -> None:
    assert "�" in render_page(make_page("\ud800")).encode().decode()


def test_page_forbids_requests_and_follows_the_color_scheme() -> None:
    (policy,) = [
        str(attributes["content"]) for _, attributes in PLAIN.elements if attributes.get("http-equiv") is not None
    ]
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in PLAIN.style


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.just(0.0), max_size=5), st.booleans())
def test_scale_places_any_value_between_its_ends(values: list[float], is_log: bool) -> None:
    usable = [value for value in values if abs(value) < 1e200]
    scale = make_scale(usable, 10, 20, is_log=is_log)
    for value in (*usable, 0.5, -1.0, 1e300):
        assert 10 - 1e-6 <= scale.place(value) <= 20 + 1e-6
    assert all(math.isfinite(scale.place(tick)) for tick in scale.list_ticks())


@pytest.mark.parametrize(
    ("low", "high", "is_log", "ticks"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.0833, 0.1091, False, [0.085, 0.09, 0.095, 0.1, 0.105]),
        (1, 1000, True, [1, 10, 100, 1000]),
        (3, 60, True, [5, 10, 20, 50]),
    ],
)
def test_ticks_are_round_values(low: float, high: float, is_log: bool, ticks: list[float]) -> None:
    assert make_scale([low, high], 0, 1, is_log=is_log).list_ticks() == pytest.approx(ticks)


def test_ticks_are_short() -> None:
    texts = [format_tick(value) for value in (0, 0.05, 1000, 20_000, 1_500_000, 2e9)]
    assert texts == ["0", "0.05", "1000", "20k", "1.5M", "2G"]
