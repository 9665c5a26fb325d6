"""A search under rules returns the answer of rules applied to every item one by one."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.inference.filters.masks import FilterMasks
from app.inference.live.items import LiveItems, LiveRow
from app.inference.live.version_view import VersionView
from app.inference.rules.batch import run_rankings
from app.inference.rules.lists import Tier, make_finder, rank_lists
from app.inference.rules.ranking import Ranked, RuledRanking, Search, add_logits
from app.inference.rules.shown import ShownItems, find_shown
from models.catalogue.catalogue import Catalogue
from service_tests.app.inference.rules.reference import (
    BRANDS,
    FIELDS,
    TAGS,
    Case,
    Condition,
    Item,
    rank_by_reference,
)

DIRECTIONS = 4


def make_condition(name: str, value: Any, comparison: str) -> Condition:
    def matches(item: Item) -> bool:
        values = item.list_values(name)
        return any(each < value for each in values) if comparison == "lt" else value in values

    operand = [value] if comparison == "contains_any" else value
    return Condition(json.dumps({"attribute": name, comparison: operand}).encode(), matches)


CONDITIONS = [
    *(make_condition("brand", brand, "eq") for brand in BRANDS),
    *(make_condition("tags", tag, "contains_any") for tag in TAGS),
    *(make_condition("price", price, "lt") for price in (0, 2, 4)),
    make_condition("categories", "c0", "contains_any"),
]
conditions = st.sampled_from(CONDITIONS)
adds = st.sampled_from([-20.0, -1.5, -0.5, 0.25, 0.5, 3.0, 20.0])
items_lists = st.lists(
    st.builds(
        Item,
        index=st.just(0),
        score=st.integers(-6, 6).map(lambda value: value / 2),
        brand=st.none() | st.sampled_from(BRANDS),
        price=st.none() | st.integers(0, 5),
        tags=st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
        categories=st.sampled_from([("c0",), ("c1",), ("c0", "c1"), ()]),
        direction=st.integers(0, DIRECTIONS - 1),
    ),
    min_size=1,
    max_size=60,
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    positions = draw(st.lists(st.integers(1, 14), max_size=6, unique=True))
    cut = draw(st.integers(0, len(positions)))
    parts = [tuple(sorted(part)) for part in (positions[:cut], positions[cut:]) if part]
    return Case(
        k=draw(st.integers(1, 12)),
        boosts=draw(st.lists(st.tuples(conditions, adds), max_size=5)),
        promotions=[(draw(conditions), part) for part in parts],
        limits=draw(st.dictionaries(st.sampled_from(FIELDS), st.integers(1, 4), max_size=4)),
        diversity=draw(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0])),
        offset=draw(st.sampled_from([0, 0, 3])),
        shown=draw(st.just(frozenset()) | st.frozensets(st.integers(1, 60), max_size=30)),
        penalty=draw(st.sampled_from([0.0, 0.5, 1.5, 20.0])),
    )


class Shop:
    """Items of a case as a catalogue with live attributes; the exact search reads all scores."""

    def __init__(self, items: Sequence[Item]) -> None:
        ids = [f"i{item.index}" for item in items]
        counts = np.ones(len(ids), dtype=np.int64)
        catalogue = Catalogue(ids, counts, [None] * len(ids), [item.categories for item in items])
        live = LiveItems()
        live.apply({item_id: make_row(item) for item_id, item in zip(ids, items, strict=True)})
        self.catalogue = catalogue
        self.view = VersionView(live, catalogue)
        self.filters = FilterMasks(self.view)
        self.scores = np.array([-np.inf, *(item.score for item in items)])
        self.directions = np.array([0, *(item.direction for item in items)])
        self.num_searches = 0

    def get_vectors(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = 3 * np.eye(DIRECTIONS, dtype=np.float32)[self.directions[indices]]
        return vectors

    def find_shown(self, case: Case) -> ShownItems | None:
        return find_shown(case.to_rules(), self.catalogue.keys, self.catalogue.num_items)

    def run(self, searches: Sequence[tuple[int, Search]]) -> list[Ranked]:
        self.num_searches += 1
        return [self.find_best(search.k, search.excluded, search.mask) for _, search in searches]

    def find_best(self, k: int, excluded: NDArray[np.int64], mask: NDArray[np.bool_] | None) -> Ranked:
        is_eligible = np.ones(len(self.scores), dtype=bool) if mask is None else mask.copy()
        is_eligible[[0, *excluded]] = False
        eligible = np.flatnonzero(is_eligible)
        order = np.lexsort((eligible, -self.scores[eligible]))[:k]
        return Ranked(eligible[order], self.scores[eligible[order]])


def make_row(item: Item) -> LiveRow:
    attributes: dict[str, Any] = {"brand": item.brand, "price": item.price, "tags": list(item.tags)}
    return LiveRow(attributes={name: value for name, value in attributes.items() if value is not None})


def number_items(items: Sequence[Item]) -> list[Item]:
    return [Item(**{**vars(item), "index": index}) for index, item in enumerate(items, 1)]


@settings(deadline=None, max_examples=200)
@given(items=items_lists, case=cases(), data=st.data())
def test_answer_is_that_of_rules_applied_one_by_one(items: list[Item], case: Case, data: st.DataObject) -> None:
    items = number_items(items)
    shop = Shop(items)
    excluded = data.draw(st.lists(st.integers(1, len(items)), max_size=4))
    forbidden = data.draw(st.none() | st.lists(st.integers(1, len(items)), max_size=20))
    allowed = np.ones(len(items) + 1, dtype=bool)
    allowed[forbidden or []] = False
    ranking = RuledRanking(
        case.to_rules(),
        case.k,
        shop.filters,
        allowed=None if forbidden is None else allowed,
        excluded=np.array(excluded, dtype=np.int64),
        get_vectors=shop.get_vectors,
        shown=shop.find_shown(case),
    )
    (answer,) = run_rankings([ranking.rank()], shop.run)
    eligible = [item for item in items if allowed[item.index] and item.index not in excluded]
    assert list(zip(answer.indices.tolist(), answer.scores.tolist(), strict=True)) == rank_by_reference(eligible, case)
    assert shop.num_searches <= 3 * (1 + len(case.promotions)), "depth grows by 4 per search, for at most 60 items"


@settings(deadline=None, max_examples=100)
@given(items=items_lists, case=cases(), length=st.integers(0, 60))
def test_lists_obey_the_same_rules(items: list[Item], case: Case, length: int) -> None:
    """The first list has some items, and the one behind it all of them."""
    items = number_items(items)
    shop = Shop(items)
    order = np.lexsort((np.arange(1, len(items) + 1), -shop.scores[1:])) + 1
    whole = make_finder(order, shop.scores[order])
    tiers = [Tier(make_finder(order[:length], shop.scores[order[:length]]), add_logits), Tier(whole, add_logits)]
    nothing = np.empty(0, dtype=np.int64)
    rules, shown = case.to_rules(), shop.find_shown(case)
    answer = rank_lists(rules, case.k, shop.filters, tiers, allowed=None, excluded=nothing, shown=shown)
    single = rank_lists(rules, case.k, shop.filters, tiers[1:], allowed=None, excluded=nothing, shown=shown)
    expected = rank_by_reference(items, Case(**{**vars(case), "diversity": 0.0}))
    assert list(zip(single.indices.tolist(), single.scores.tolist(), strict=True)) == expected
    counts = {
        (field, value): sum(value in items[index - 1].list_values(field) for index in answer.indices.tolist())
        for field in case.limits
        for item in items
        for value in item.list_values(field)
    }
    assert all(count <= case.limits[field] for (field, _), count in counts.items())
    assert len(set(answer.indices.tolist())) == len(answer.indices)
    if not case.limits:
        assert len(answer.indices) == min(case.k, len(items))


def test_rankings_of_a_batch_are_independent_of_each_other() -> None:
    items = number_items([Item(0, number % 7, BRANDS[number % 3], None, (), (), 0) for number in range(50)])
    shop = Shop(items)
    all_cases = [Case(k, [(CONDITIONS[k % 3], 2.0)], [], {"brand": k}, 0.0, 0) for k in range(1, 6)]
    rankings = [
        RuledRanking(case.to_rules(), case.k, shop.filters, allowed=None, excluded=np.empty(0, dtype=np.int64)).rank()
        for case in all_cases
    ]
    answers = run_rankings(rankings, shop.run)
    assert [answer.indices.tolist() for answer in answers] == [
        [index for index, _ in rank_by_reference(items, case)] for case in all_cases
    ]


@pytest.mark.parametrize("diversity", [0.0, 0.3])
def test_limits_search_deeper_without_the_items_whose_values_are_used_up(diversity: float) -> None:
    """The best 900 items are of one brand."""
    items = number_items([Item(0, -number, "A" if number < 900 else "B", None, (), (), 0) for number in range(1000)])
    shop = Shop(items)
    case = Case(5, [], [], {"brand": 3}, diversity, 0)
    nothing = np.empty(0, dtype=np.int64)
    ranking = RuledRanking(
        case.to_rules(), 5, shop.filters, allowed=None, excluded=nothing, get_vectors=shop.get_vectors
    )
    (answer,) = run_rankings([ranking.rank()], shop.run)
    assert (sorted(answer.indices.tolist()), shop.num_searches) == ([1, 2, 3, 901, 902], 2)


@pytest.mark.parametrize("num_shown", [0, 1, 30, 100])
def test_one_search_finds_the_items_behind_the_shown_ones(num_shown: int) -> None:
    items = number_items([Item(0, -number, None, None, (), (), 0) for number in range(1000)])
    shop = Shop(items)
    case = Case(5, [], [], {}, 0.0, 0, frozenset(range(1, num_shown + 1)), 20.0)
    nothing = np.empty(0, dtype=np.int64)
    shown = shop.find_shown(case)
    ranking = RuledRanking(case.to_rules(), 5, shop.filters, allowed=None, excluded=nothing, shown=shown)
    (answer,) = run_rankings([ranking.rank()], shop.run)
    expected = [item for item, _ in rank_by_reference(items, case)]
    assert (answer.indices.tolist(), shop.num_searches) == (expected, 1)
