"""Features of a catalogue from attributes of every type, within bounds."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue.attributes import AttributeFeatures, list_values
from models.data import attribute_features
from models.data.attribute_features import (
    MAX_SHARE,
    MIN_ITEMS,
    NUM_BINS,
    build_features,
    choose_edges,
    format_attributes,
)
from models.data.item_attributes import ATTRIBUTES_TYPE, MAX_TEXT_CHARS, make_attribute_rows

VALUES = st.one_of(
    st.booleans(),
    st.integers(-9, 9),
    st.floats(),
    st.sampled_from(["a", "b", "true", "2024-01-01T00:00:00Z", ""]),
    st.lists(st.sampled_from("abc"), max_size=3),
)
ITEMS = st.lists(st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES), min_size=1, max_size=30)


def build(*items: dict[str, object]) -> AttributeFeatures:
    return build_features(pl.Series([make_attribute_rows(item) for item in items], dtype=ATTRIBUTES_TYPE))


def test_every_type_becomes_features() -> None:
    attributes = build(
        {"brand": "Lumen", "sale": True, "tags": ["a", "b", "a"], "stars": 4, "at": "2024-01-01T00:00:00Z"},
        {"brand": "Lumen", "sale": False, "tags": ["b"], "stars": Decimal("4.0"), "at": "2024-01-01T00:00:00Z"},
        {"brand": "Argent", "sale": False, "tags": [], "stars": 5.0, "sku": "only this one"},
        {"brand": "Argent", "sale": True, "tags": ["a", "c"], "stars": 5, "text": "x" * (MAX_TEXT_CHARS + 1)},
        {},
    )
    assert [sorted(names) for names in attributes.index] == [
        ["brand=Lumen", "sale=true", "stars:..5", "tags=a", "tags=b"],
        ["brand=Lumen", "sale=false", "stars:..5", "tags=b"],
        ["brand=Argent", "sale=false", "stars:5.."],
        ["brand=Argent", "sale=true", "stars:5..", "tags=a"],
        [],
    ]
    assert attributes.names == {"brand", "sale", "tags", "stars"}
    line = format_attributes(attributes, ["brand", "sale", "tags", "stars", "sku"])
    assert line == (
        "attributes: brand (2 values), sale (2 values), stars (2 bins), tags (2 values); "
        "without values that some of the items share: sku"
    )


def test_features_of_one_item_and_of_nearly_all_items_are_dropped() -> None:
    items: list[dict[str, object]] = [{"shop": "us", "colour": "red" if number < 2 else "blue"} for number in range(20)]
    items[0]["sku"] = "s1"
    items[0]["price"] = 7
    assert build(*items).names == {"colour"}


@given(items=ITEMS)
def test_features_are_shared_bounded_and_found_again_by_the_values_of_the_item(items: list[dict[str, object]]) -> None:
    attributes = build(*items)
    assert len(attributes) == len(items)
    counts = np.bincount(attributes.index.numbers, minlength=len(attributes.index.names))
    assert np.all((counts >= MIN_ITEMS) & (counts <= MAX_SHARE * len(items)))
    assert all(np.all(np.diff(edges) > 0) for edges in attributes.edges.values())
    known = set(attributes.index.names)
    for item, features in zip(items, attributes.index, strict=True):
        listed = attributes.list_features(list_values(make_attribute_rows(item)))
        assert set(features) == known.intersection(listed)


@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_bins_are_few_and_none_of_them_is_empty(numbers: list[float]) -> None:
    edges = choose_edges(np.array(numbers))
    assert len(edges) < NUM_BINS
    counts = np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=len(edges) + 1)
    assert np.all(counts > 0)


def test_bins_have_about_as_many_items() -> None:
    prices = np.random.default_rng(0).lognormal(3, 1, 8_000)
    counts = np.bincount(np.searchsorted(choose_edges(prices), prices, side="right"))
    assert len(counts) == NUM_BINS
    assert np.all(np.abs(counts - 1_000) <= 2)


def test_number_of_features_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_features, "MAX_FEATURES", 3)
    monkeypatch.setattr(attribute_features, "MAX_ITEM_FEATURES", 2)
    attributes = build(
        {"tags": ["a", "b", "c", "d"]},
        {"tags": ["a", "b", "c", "d"]},
        {"tags": ["a", "b", "c"]},
        {"tags": ["a", "b"]},
        {"tags": ["a"]},
        {},
    )
    assert list(attributes.index.names) == ["tags=a", "tags=b", "tags=c"], "those of most items"
    assert next(iter(attributes.index)) == ("tags=b", "tags=c"), "of an item, those of fewest items"
