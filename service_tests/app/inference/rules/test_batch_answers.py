"""Answers that native code picks are those of rules applied item by item to the model's whole ranking."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import Query
from app.inference.live.items import LiveItems, LiveRow
from app.inference.rules import ItemRules, batch_answers
from app.inference.servable import Servable
from models.artifact import load_artifact
from models.catalogue.item_key import item_keys
from models.native import ruled_search
from service_tests.app.inference.rules.reference import BRANDS, TAGS, Case, Item, rank_by_reference
from service_tests.app.inference.rules.test_ranking import adds, conditions
from service_tests.models.native.native_library import build_library_or_skip
from service_tests.support.answered_queries import answer
from service_tests.support.artifacts import write_neighbours_artifact, write_tiny_artifact

NUM_ITEMS, NUM_NEW = 60, 8
WRITERS = {
    "codes": lambda folder: write_tiny_artifact(folder, preset="blossom"),
    "transitions": write_neighbours_artifact,
}
RNG = np.random.default_rng(5)
VALUES = [
    (
        [None, *BRANDS][RNG.integers(4)],
        [None, *range(6)][RNG.integers(7)],
        tuple(RNG.choice(TAGS, RNG.integers(3), replace=False).tolist()),
        [("c0",), ("c1",), ("c0", "c1")][RNG.integers(3)],
    )
    for _ in range(NUM_ITEMS + NUM_NEW)
]
"""Brand, price, tags and categories of each item, the new ones last."""


@pytest.fixture(scope="module", params=WRITERS)
def servable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Servable:
    build_library_or_skip()
    folder = WRITERS[request.param](tmp_path_factory.mktemp(request.param))
    live = LiveItems()
    live.apply({f"i{number}": make_row(number) for number in range(1, NUM_ITEMS + NUM_NEW + 1)})
    servable = Servable(load_artifact(folder, device="cpu"), live)
    assert servable.model_info.scoring["large"]["name"] == "native blocks"
    servable.place_new_items(100)
    return servable


def make_row(number: int) -> LiveRow:
    brand, price, tags, categories = VALUES[number - 1]
    attributes = {"brand": brand, "price": price, "tags": list(tags)}
    return LiveRow(True, categories, {name: value for name, value in attributes.items() if value is not None}, True)


def make_query(number: int, k: int, rules: ItemRules | None = None) -> Query:
    return Query(item_keys([f"i{number}", f"i{number + 3}"]), k, rules=rules, exclude=item_keys(["i40", "i62"]))


def check(servable: Servable, cases: Sequence[tuple[int, Case]]) -> None:
    """Compare the answers with the whole plain rankings of the same batch, whose scores are rounded alike."""
    tops = answer(servable, *(make_query(number, case.k, case.to_rules()) for number, case in cases))
    rankings = answer(servable, *(make_query(number, NUM_ITEMS + NUM_NEW) for number, _ in cases))
    for (_, case), top, ranking in zip(cases, tops, rankings, strict=True):
        values = [VALUES[int(item_id[1:]) - 1] for item_id in ranking.item_ids]
        pairs = zip(ranking.indices, ranking.scores, values, strict=True)
        expected = rank_by_reference([Item(index, score, *rest, 0) for index, score, rest in pairs], case)
        assert top.indices == [index for index, _ in expected]
        assert top.scores == pytest.approx([score for _, score in expected], rel=1e-6, abs=1e-6)


cases = st.builds(
    Case,
    k=st.integers(1, 12),
    boosts=st.lists(st.tuples(conditions, adds), max_size=4),
    promotions=st.just([]),
    limits=st.dictionaries(st.sampled_from(["brand", "price", "tags", "categories"]), st.integers(1, 4), max_size=3),
    diversity=st.just(0.0),
    offset=st.just(0),
)


@settings(deadline=None, max_examples=80)
@given(batch=st.lists(st.tuples(st.integers(1, 50), cases), min_size=1, max_size=5))
def test_answers_of_a_batch_are_those_of_rules_applied_one_by_one(
    servable: Servable, batch: list[tuple[int, Case]]
) -> None:
    check(servable, batch)


def test_diverse_queries_of_a_batch_leave_the_others_as_they_are(servable: Servable) -> None:
    limited, diverse = ItemRules(limits=(("tags", 2),)), ItemRules(limits=(("tags", 2),), diversity=0.5)
    queries = [make_query(number, 9, diverse if number % 3 else limited) for number in range(1, 10)]
    for query, top in zip(queries, answer(servable, *queries), strict=True):
        (alone,) = answer(servable, query)
        assert alone.scores == pytest.approx(top.scores, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("num_searches", [1, 2])
def test_answers_that_searches_leave_open_are_continued(
    servable: Servable, num_searches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches are as deep as the answer, so limits reject most of what they find."""
    monkeypatch.setattr(ruled_search, "NUM_SEARCHES", num_searches)
    monkeypatch.setattr(ruled_search, "GROWTH", 1)
    monkeypatch.setattr(batch_answers, "DEPTH", 1)
    check(servable, [(number, Case(8, [], [], {"categories": 2, "brand": 3}, 0.0, 0)) for number in range(1, 50, 5)])


def test_limits_follow_a_change_of_the_live_catalogue(servable: Servable) -> None:
    rules = ItemRules(limits=(("brand", 1),))
    live = servable.live.live
    try:
        (before,) = answer(servable, make_query(7, 12, rules))
        live.apply({f"i{n}": make_row(n)._replace(attributes={"brand": f"b{n}"}) for n in range(1, NUM_ITEMS + 1)})
        (after,) = answer(servable, make_query(7, 12, rules))
    finally:
        live.apply({f"i{number}": make_row(number) for number in range(1, NUM_ITEMS + 1)})
    (again,) = answer(servable, make_query(7, 12, rules))
    (plain,) = answer(servable, make_query(7, 12))
    trained = [index for index in plain.indices if index <= NUM_ITEMS]
    assert [index for index in after.indices if index <= NUM_ITEMS][: len(trained)] == trained
    assert before.indices == again.indices != after.indices


def test_masks_of_values_are_kept_only_as_far_as_there_is_room(
    servable: Servable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that are used up are then not excluded from the searches, and the answer is the same."""
    monkeypatch.setattr("app.inference.live.item_values.MAX_BYTES", 0)
    servable.live.live.apply({"i1": make_row(1)})  # forgets the masks
    check(servable, [(number, Case(9, [], [], {"categories": 2, "tags": 2}, 0.0, 0)) for number in range(1, 50, 5)])
