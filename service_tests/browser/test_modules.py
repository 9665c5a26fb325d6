"""Functions of the page's modules, called in Chromium with edge cases that no demo has."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="pip install -e '.[browser]'")

from service_tests.browser.open_page import OpenPage, open_context

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.optional, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def module_page(browser: "Browser", demo: str) -> Iterator[OpenPage]:
    with open_context(browser, demo) as page:
        page.open("?view=experiments")
        yield page


def call_module(page: OpenPage, module: str, function: str, *arguments: Any) -> Any:
    script = "([module, name, args]) => import(`/page/${module}.js`).then(loaded => loaded[name](...args))"
    return page.page.evaluate(script, [module, function, list(arguments)])


@pytest.mark.parametrize(
    ("first", "second", "k", "expected"),
    [
        ([], [], 3, None),
        (["a"], [], 3, 0),
        (["a", "b"], ["b", "a"], 1, 0),
        (["a", "b"], ["b", "a"], 2, 1),
        (["a", "b", "c"], ["c", "x", "a"], 3, 2 / 3),
        (["a"], ["a"], 10, 1),
    ],
)
def test_overlap_is_the_share_of_common_items(
    first: list[str], second: list[str], k: int, expected: float | None, module_page: OpenPage
) -> None:
    assert call_module(module_page, "overlap", "computeOverlap", first, second, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" a \n\n b ", ["a", "b"]),
        ("a, b,c", ["a", "b", "c"]),
        ("with, comma\nb", ["with, comma", "b"]),
        ('["a", 7, {"item_id": "c"}]', ["a", "7", "c"]),
        ("[broken", ["[broken"]),
        ("x" * 129, []),
    ],
)
def test_pasted_text_becomes_ids(text: str, expected: list[str], module_page: OpenPage) -> None:
    assert call_module(module_page, "query_form", "parseIds", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("price lte 50", {"attribute": "price", "lte": 50}),
        ("brand eq Lumen Argent", {"attribute": "brand", "eq": "Lumen Argent"}),
        ("size eq 5", {"attribute": "size", "in": [5, "5"]}),
        ("size eq 05", {"attribute": "size", "in": [5, "05"]}),
        ('size eq "5"', {"attribute": "size", "eq": "5"}),
        ("new eq true", {"attribute": "new", "in": [True, "true"]}),
        ('new eq "true"', {"attribute": "new", "eq": "true"}),
        ('name eq 5" disk', {"attribute": "name", "eq": '5" disk'}),
        ("released gte 2026-05-01T00:00:00Z", {"attribute": "released", "gte": "2026-05-01T00:00:00Z"}),
        ("sizes contains_any S, M", {"attribute": "sizes", "contains_any": ["S", "M"]}),
        ('sizes contains_any "S, M", 5', {"attribute": "sizes", "contains_any": ["S, M", "5"]}),
        ("price drops 5", None),
    ],
)
def test_condition_of_the_address_becomes_a_filter(text: str | None, expected: object, module_page: OpenPage) -> None:
    assert call_module(module_page, "filters", "parseCondition", text) == expected


def test_server_timing_is_summed_over_its_stages(module_page: OpenPage) -> None:
    timing = call_module(module_page, "api", "parseServerTiming", "store;dur=0.50, score;dur=1.25")
    assert timing == {"stages": [{"name": "store", "ms": 0.5}, {"name": "score", "ms": 1.25}], "total": 1.75}
    assert call_module(module_page, "api", "parseServerTiming", None) is None


def test_history_is_grouped_by_day_newest_first(module_page: OpenPage) -> None:
    day = 86_400_000
    events = [{"item_id": name, "timestamp": when} for name, when in (("a", 0), ("b", 5), ("c", day), ("d", 3 * day))]
    days = call_module(module_page, "timeline", "groupByDay", events)
    assert [[event["item_id"] for event in group["events"]] for group in days] == [["d"], ["c"], ["b", "a"]]
