"""Masks of filters against a plain evaluation of single items, while the live catalogue changes."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.filters import parse_filter
from app.inference.filters.evaluation import COMPARE
from app.inference.filters.masks import FilterMasks
from app.inference.live import dictionary_column, mask_cache
from app.inference.live.items import LiveItems, LiveRow
from app.inference.live.version_view import VersionView
from models.catalogue.attribute_times import parse_time
from models.catalogue.catalogue import Catalogue

IDS = [f"i{number}" for number in range(8)]
CATALOGUE = Catalogue(IDS[:6], np.arange(6, 0, -1), [None] * 6, [["a"], ["a", "b"], ["b"], [], ["a"], ["b"]])
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-05-01T02:00:00+02:00"
VALUES = st.sampled_from([1, 1.0, 0, 2.5, True, False, "red", "blue", EARLY, LATE, [], ["red"], ["red", "blue"]])
ROWS = st.builds(
    LiveRow,
    st.booleans(),
    st.sampled_from([None, (), ("a",), ("b", "c")]),
    st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2),
)
BATCHES = st.lists(st.dictionaries(st.sampled_from(IDS), ROWS, max_size=5), max_size=4)
NAMES = st.sampled_from(["x", "y", "unknown"])
BOUNDS = st.sampled_from([0, 1, 2.5, EARLY, LATE])
TEXTS = st.lists(st.sampled_from(["red", "blue", "a", "b"]), min_size=1, max_size=3)
SCALARS = st.sampled_from([1, 0, 2.5, True, False, "red", EARLY])
LEAVES = st.one_of(
    st.builds(
        lambda name, op, bound: {"attribute": name, op: bound},
        NAMES,
        st.sampled_from(["lt", "lte", "gt", "gte"]),
        BOUNDS,
    ),
    st.builds(lambda name, value: {"attribute": name, "eq": value}, NAMES, SCALARS),
    st.builds(lambda name, values: {"attribute": name, "in": values}, NAMES, st.lists(SCALARS, min_size=1, max_size=3)),
    st.builds(
        lambda name, op, texts: {"attribute": name, op: texts},
        st.sampled_from(["x", "y", "categories"]),
        st.sampled_from(["contains_any", "contains_all"]),
        TEXTS,
    ),
    st.builds(lambda name, value: {"attribute": name, "exists": value}, NAMES, st.booleans()),
    st.builds(lambda value: {"attribute": "available", "eq": value}, st.booleans()),
    st.builds(lambda a, b: {"attribute": "x", "gte": a, "lt": b}, BOUNDS, BOUNDS),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(lambda each: {"all": each}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda each: {"any": each}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda each: {"not": each}, parts),
    ),
    max_leaves=6,
)


def matches(expression: dict[str, Any], index: int, row: LiveRow) -> bool:
    if "all" in expression:
        return all(matches(part, index, row) for part in expression["all"])
    if "any" in expression:
        return any(matches(part, index, row) for part in expression["any"])
    if "not" in expression:
        return not matches(expression["not"], index, row)
    name = expression["attribute"]
    fields: dict[str, Any] = dict(row.attributes)
    fields["available"] = row.available
    categories = CATALOGUE.get_categories(index) if row.categories is None else row.categories
    fields["categories"] = list(categories)
    value = fields.get(name)
    return all(compare(value, operator, other) for operator, other in expression.items() if operator != "attribute")


def normalize(value: Any) -> Any:
    """Times as numbers, and the kind of a value next to it, because True equals 1 in Python."""
    if isinstance(value, str) and (time := parse_time(value)) is not None:
        return "number", time
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value).__name__, value
    return "number", float(value)


def compare(value: Any, operator: str, other: Any) -> bool:
    if operator == "exists":
        return bool((value is not None) == other)
    if operator == "eq":
        return bool(normalize(value) == normalize(other))
    if operator == "in":
        return any(normalize(value) == normalize(each) for each in other)
    if operator.startswith("contains"):
        if not isinstance(value, list | str) or normalize(value)[0] == "number":
            return False
        members = value if isinstance(value, list) else [value]
        hits = [text in members for text in other]
        return any(hits) if operator == "contains_any" else all(hits)
    (kind, number), (_, bound) = normalize(value), normalize(other)
    if kind != "number":
        return False
    return bool({"lt": number < bound, "lte": number <= bound, "gt": number > bound, "gte": number >= bound}[operator])


@given(batches=BATCHES, expressions=st.lists(EXPRESSIONS, min_size=1, max_size=3), spare=st.sampled_from([-8, 10_000]))
def test_masks_equal_a_plain_evaluation(
    batches: list[dict[str, LiveRow]], expressions: list[dict[str, Any]], spare: int
) -> None:
    live, rows = LiveItems(), dict[str, LiveRow]()
    view = VersionView(live, CATALOGUE)
    masks = FilterMasks(view)
    original, dictionary_column.SPARE_VALUES = dictionary_column.SPARE_VALUES, spare
    try:
        for batch in [{}, *batches]:
            live.apply(batch)
            rows |= batch
            for expression in expressions:
                item_filter = parse_filter(json.dumps(expression).encode())
                for _ in range(2):
                    mask = masks.find_matches(item_filter)
                    expected = [
                        matches(expression, index, rows.get(CATALOGUE.item_id(index), LiveRow()))
                        for index in range(1, 7)
                    ]
                    assert mask.tolist() == [False, *expected], (expression, rows)
                assert masks.is_cached(item_filter)
    finally:
        dictionary_column.SPARE_VALUES = original


def test_cache_of_masks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_cache, "MAX_BYTES", 21)
    view = VersionView(LiveItems(), CATALOGUE)
    masks = FilterMasks(view)
    filters = [parse_filter(json.dumps({"attribute": "x", "lt": number}).encode()) for number in range(40)]
    for each in filters:
        masks.find_matches(each)
        masks.find_matches(filters[0])
    assert masks.is_cached(filters[0]), "used last"
    assert sum(map(masks.is_cached, filters)) == 3


def test_every_comparison_at_its_bound() -> None:
    live = LiveItems()
    view = VersionView(live, CATALOGUE)
    values: list[Any] = [1, 2.5, EARLY, True, "red", ["red", "blue"]]
    rows = {f"i{number}": LiveRow(attributes={"x": value}) for number, value in enumerate(values)}
    live.apply(rows)
    comparisons: list[dict[str, Any]] = [{operator: bound} for operator in COMPARE for bound in (1, 2.5, EARLY)]
    comparisons += [{"eq": value} for value in (1, 2.5, EARLY, True, False, "red", "blue")]
    comparisons += [{"in": [1, "red"]}, {"in": [True]}, {"exists": True}, {"exists": False}]
    comparisons += [
        {operator: texts} for operator in ("contains_any", "contains_all") for texts in (["red"], ["red", "blue"])
    ]
    for comparison in comparisons:
        expression = {"attribute": "x"} | comparison
        mask = FilterMasks(view).find_matches(parse_filter(json.dumps(expression).encode()))
        expected = [matches(expression, number + 1, row) for number, row in enumerate(rows.values())]
        assert mask[1:].tolist() == expected, comparison
        assert any(expected) or comparison in (
            {"lt": 1},
            {"gt": EARLY},
            {"eq": False},
            {"eq": "blue"},
            {"exists": False},
        )


def test_reset_items_have_no_attributes() -> None:
    live = LiveItems()
    masks = FilterMasks(VersionView(live, CATALOGUE))
    rows = {name: LiveRow(attributes={"x": number, "y": "red"}) for number, name in enumerate(IDS)}
    numbers = live.apply(rows)
    live.reset_except(numbers[:2])
    for name in ("x", "y"):
        mask = masks.find_matches(parse_filter(json.dumps({"attribute": name, "exists": True}).encode()))
        assert np.flatnonzero(mask).tolist() == [1, 2]
