"""Servable: external ids in and out and filters before the top k, compared with a plain Python reference."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ArtifactRejected, NotFound
from app.inference import Query, SimilarQuery, TopItems, find_popular_items
from app.inference.servable import Servable, open_servable
from models.artifact import load_artifact
from models.catalogue.item_key import KeyIndex, item_keys
from models.native.build import build
from models.native.library import load_library
from service_tests.support.artifacts import write_tiny_artifact

NUM_ITEMS = 25
item = st.sampled_from([*(f"i{number}" for number in range(1, NUM_ITEMS + 1)), "unknown", "other"])
items = st.lists(item, max_size=30)


@pytest.fixture(scope="module")
def servable(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    folder = write_tiny_artifact(tmp_path_factory.mktemp("servable"), num_items=NUM_ITEMS)
    return Servable(load_artifact(folder, device="cpu"))


queries = st.builds(
    Query,
    history=items.map(item_keys),
    k=st.integers(1, 30),
    exclude_seen=st.booleans(),
    exclude=items.map(item_keys),
    candidates=st.none() | items.map(item_keys),
    categories=st.lists(st.sampled_from(["odd", "even", "low", "no such"]), max_size=2).map(tuple),
)


def find_eligible(servable: Servable, query: Query) -> set[str]:
    """Reference implementation of the filters, item by item."""
    ids_by_key = dict(zip(item_keys(servable.catalogue.item_ids).tolist(), servable.catalogue.item_ids, strict=True))
    allowed = set(servable.catalogue.item_ids)
    if query.candidates is not None:
        allowed &= {ids_by_key.get(key, "") for key in query.candidates.tolist()}
    if query.categories:
        find_index = servable.catalogue.find_index
        categories_of = {i: set(servable.catalogue.get_categories(find_index(i) or 0)) for i in allowed}
        allowed = {i for i in allowed if categories_of[i] & set(query.categories)}
    allowed -= {ids_by_key.get(key, "") for key in query.exclude.tolist()}
    if query.exclude_seen:
        allowed -= {ids_by_key.get(key, "") for key in query.history.tolist()}
    return allowed


@settings(deadline=None, max_examples=100)
@given(batch=st.lists(queries, min_size=1, max_size=5))
def test_mixed_filters_return_all_eligible_items_up_to_k(servable: Servable, batch: list[Query]) -> None:
    for query, answer in zip(batch, servable.run_batch(batch), strict=True):
        assert isinstance(answer, TopItems)
        eligible = find_eligible(servable, query)
        assert len(answer.item_ids) == len(set(answer.item_ids)) == min(query.k, len(eligible))
        assert set(answer.item_ids) <= eligible
        assert answer.scores == sorted(answer.scores, reverse=True)
        known_keys = [
            key for key in query.history.tolist() if key in set(item_keys(servable.catalogue.item_ids).tolist())
        ]
        assert answer.source == ("model" if known_keys else "popularity")
        assert len(answer.unknown_positions) == len(query.history) - len(known_keys)


@settings(deadline=None, max_examples=50)
@given(batch=st.lists(queries, min_size=2, max_size=5))
def test_batch_answers_equal_those_of_each_query_alone(servable: Servable, batch: list[Query]) -> None:
    together = servable.run_batch(batch)
    for query, answer in zip(batch, together, strict=True):
        (alone,) = servable.run_batch([query])
        assert isinstance(answer, TopItems)
        assert isinstance(alone, TopItems)
        np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-4, atol=1e-5)


def test_popular_items_follow_catalogue_order_under_the_same_filters(servable: Servable) -> None:
    query = Query(item_keys(["unknown", "i2"]), 3, exclude=item_keys(["i1"]), categories=("even", "odd"))
    answer = find_popular_items(servable, query)
    assert (answer.item_ids, answer.scores) == (["i3", "i4", "i5"], [333.0, 250.0, 200.0])


def test_unknown_item_has_no_similar_items_and_does_not_affect_the_batch(servable: Servable) -> None:
    unknown, similar = servable.run_batch([SimilarQuery("unknown", 3), SimilarQuery("i4", 3)])
    assert isinstance(unknown, NotFound)
    assert isinstance(similar, TopItems)
    assert len(similar.item_ids) == 3


@given(names=st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=1, max_size=60), data=st.data())
def test_key_index_finds_known_items_only(names: list[str], data: st.DataObject) -> None:
    index = KeyIndex.from_ids(names)
    item_ids = data.draw(st.lists(st.sampled_from(names) | st.text(min_size=1, max_size=12), max_size=40))
    expected = [names.index(name) + 1 if name in names else 0 for name in item_ids]
    assert index.find_indices(item_keys(item_ids)).tolist() == expected


def test_folder_without_an_artifact_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="holds no artifact"):
        open_servable(tmp_path, device="cpu", threads=1, max_batch=4)


@pytest.mark.parametrize("native", [True, False])
def test_native_code_runs_the_model_only_if_the_setting_allows_it(native: bool, tmp_path: Path) -> None:
    build()
    load_library.cache_clear()
    servable = open_servable(write_tiny_artifact(tmp_path), device="cpu", threads=1, max_batch=2, native=native)
    expected = "native" if native and load_library() else "torch"
    assert servable.artifact.predictor.runner.name.partition(" ")[0] == expected
