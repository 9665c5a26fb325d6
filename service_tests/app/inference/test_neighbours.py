"""Item neighbours and cached answers under any filters, for an artifact with a transition memory."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import CachedAnswer, Query, TopItems, find_neighbours, find_popular_items
from app.inference.answer_cache import AnswerCache
from app.inference.filters import parse_filter
from app.inference.query import NO_KEYS
from app.inference.remote.versions import RemoteVersion
from app.inference.rules import Boost, ItemRules, Promotion
from app.recommend.ladder import apply_filters
from models.catalogue.item_key import item_keys
from models.transitions.followers import MAX_ITEMS, Followers, open_followers
from models.transitions.memory import TransitionMemory
from service_tests.support.artifacts import tiny_catalogue, write_neighbours_artifact

NUM_ITEMS = 60
CATALOGUE = tiny_catalogue(NUM_ITEMS)
FOLLOWERS = {1: [(2, 0.5), (3, 0.25)], 4: [(3, 0.5), (5, 0.1)], 7: [(60, 0.9)]}
NO_POSITIONS = np.empty(0, dtype=np.int64)


def make_followers() -> Followers:
    memory = TransitionMemory(NUM_ITEMS, dim=4, num_followers=2)
    followers, probabilities = np.zeros((NUM_ITEMS + 1, 2), dtype=np.int64), np.zeros((NUM_ITEMS + 1, 2))
    for source, pairs in FOLLOWERS.items():
        for column, (item, probability) in enumerate(pairs):
            followers[source, column], probabilities[source, column] = item, probability
    memory.store(followers, probabilities, np.ones(NUM_ITEMS + 1))
    return Followers(memory.rows.numpy(), NUM_ITEMS)


EVEN, LOW = (parse_filter(b'{"attribute":"categories","contains_any":["%b"]}' % name) for name in (b"even", b"low"))
RULES = ItemRules(boosts=(Boost(EVEN, 20.0),), promotions=(Promotion(LOW, (2,)),), diversity=0.5)
SERVING = RemoteVersion("1", CATALOGUE, make_followers())


def make_query(history: Sequence[int], k: int = 5, exclude: Sequence[int] = (), **options: object) -> Query:
    query = Query(item_keys([f"i{item}" for item in history]), k, exclude=item_keys([f"i{item}" for item in exclude]))
    return dataclasses.replace(query, **options)  # type: ignore[arg-type]


def list_eligible(query: Query, history: Sequence[int], exclude: Sequence[int]) -> set[int]:
    """The items that the filters of a query allow, computed item by item."""
    excluded = set(exclude) | (set(history) if query.exclude_seen else set())
    items = set(range(1, NUM_ITEMS + 1)) - excluded
    if query.candidates is not None:
        items &= set(CATALOGUE.keys.find_indices(query.candidates).tolist())
    if query.categories:
        items &= {item for item in items if set(CATALOGUE.get_categories(item)) & set(query.categories)}
    return items


def check_answer(top: TopItems, query: Query, history: Sequence[int], exclude: Sequence[int]) -> None:
    eligible = list_eligible(query, history, exclude)
    assert set(top.indices) <= eligible
    assert len(top.indices) == len(set(top.indices)) == min(query.k, len(eligible))
    assert top.scores == sorted(top.scores, reverse=True)


def test_followers_of_the_newest_items_count_most_and_popular_items_follow() -> None:
    top = find_neighbours(SERVING, make_query([1, 4]))
    assert top is not None
    assert top.source == "neighbours"
    # 3 follows both items; popular items that are not seen fill the answer.
    assert top.indices == [3, 2, 5, 6, 7]
    assert top.scores[:3] == pytest.approx([0.5 + 0.25 / 2, 0.5 / 2, 0.1], rel=0.05)


@pytest.mark.parametrize("history", [[], [2], [99], [7]])
def test_history_without_eligible_followers_has_no_neighbours(history: list[int]) -> None:
    assert find_neighbours(SERVING, make_query(history, exclude=[60])) is None


def test_only_the_newest_items_of_a_long_history_count() -> None:
    assert find_neighbours(SERVING, make_query([7, *range(10, 10 + MAX_ITEMS)])) is None
    assert find_neighbours(SERVING, make_query([7, *range(11, 10 + MAX_ITEMS)])) is not None


ITEMS = st.lists(st.integers(1, NUM_ITEMS), max_size=12)
QUERIES = st.fixed_dictionaries(
    {
        "exclude_seen": st.booleans(),
        "candidates": st.none() | ITEMS.map(lambda items: item_keys([f"i{item}" for item in items])),
        "categories": st.sampled_from([(), ("even",), ("odd", "low"), ("none",)]),
    }
)


@settings(max_examples=150, deadline=None)
@given(history=ITEMS, exclude=ITEMS, k=st.integers(1, 70), options=QUERIES, cached=ITEMS)
def test_answers_without_the_model_obey_every_filter(
    history: list[int], exclude: list[int], k: int, options: dict[str, object], cached: list[int]
) -> None:
    query = make_query(history, k, exclude, **options)
    neighbours = find_neighbours(SERVING, query)
    if neighbours is not None:
        check_answer(neighbours, query, history, exclude)
    answer = cache_answer(list(dict.fromkeys(cached)))
    top = None if answer is None else apply_filters(SERVING, query, answer)
    eligible = [item for item in dict.fromkeys(cached) if item in list_eligible(query, history, exclude)]
    if top is None:
        assert eligible == []
    else:
        check_answer(top, query, history, exclude)
        assert top.indices[: len(eligible)] == eligible[:k], "cached items come first, in their order"


@given(history=ITEMS, exclude=ITEMS, k=st.integers(1, 70), options=QUERIES, cached=ITEMS)
def test_answers_without_the_model_obey_rules(
    history: list[int], exclude: list[int], k: int, options: dict[str, object], cached: list[int]
) -> None:
    query = make_query(history, k, exclude, **options, rules=RULES)
    answer = cache_answer(list(dict.fromkeys(cached)))
    tops = [find_neighbours(SERVING, query), find_popular_items(SERVING, query)]
    tops.append(None if answer is None else apply_filters(SERVING, query, answer))
    eligible = list_eligible(query, history, exclude)
    low = {item for item in eligible if "low" in CATALOGUE.get_categories(item)}
    for top in tops:
        if top is not None:
            assert set(top.indices) <= eligible
            assert len(top.indices) == len(set(top.indices)) == min(k, len(eligible))
            assert k == 1 or len(eligible) == 1 or not low or top.indices[1] in low
    popular = find_popular_items(SERVING, query).indices
    promoted = [min(low, key=lambda item: (item % 2, item))] if low and k > 1 else []
    expected = sorted(eligible - set(promoted), key=lambda item: (item % 2, item))[: k - len(promoted)]
    assert popular == expected[:1] + promoted + expected[1:]


def cache_answer(indices: list[int]) -> CachedAnswer | None:
    cache = AnswerCache(max_bytes=10_000, lifetime_s=10)
    scores = [5.0 - position for position in range(len(indices))]
    cache.put("u", TopItems(indices, scores, "model", NO_POSITIONS, "1", CATALOGUE), NO_KEYS, 1, erasures=0)
    return cache.get("u", "1")


def test_artifact_has_the_followers_of_its_model(tmp_path: Path) -> None:
    folder = write_neighbours_artifact(tmp_path)
    followers = open_followers(folder / "model.safetensors", NUM_ITEMS)
    assert followers is not None
    items, weights = followers.rank(np.array([5]))
    assert items[0] == 6, "in the histories of the artifact, each item is followed by the next one"
    assert weights[0] > 0.4


def test_model_without_followers_has_none_and_a_damaged_file_is_an_error(tiny_artifact: Path, tmp_path: Path) -> None:
    weights = tiny_artifact / "model.safetensors"
    assert open_followers(weights, NUM_ITEMS) is None
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x00" * 8 + weights.read_bytes()[8:])
    with pytest.raises(ValueError, match=r"damaged\.safetensors is not a valid safetensors file"):
        open_followers(damaged, NUM_ITEMS)
    with pytest.raises(ValueError, match="does not fit 61 items"):
        Followers(np.zeros((NUM_ITEMS + 1, 7), dtype=np.uint8), NUM_ITEMS + 1)


def test_indices_outside_the_catalogue_are_ignored() -> None:
    rows = np.full((NUM_ITEMS + 1, 7), 255, dtype=np.uint8)
    items, _ = Followers(rows, NUM_ITEMS).rank(np.array([1, 2]))
    assert items.tolist() == []
