"""A servable: external ids in and out, filters before the top k; against a plain Python model of the rules."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ArtifactRejected, NotFound
from app.inference import Query, SimilarQuery, TopItems
from app.inference.servable import Servable, open_servable
from app.item_key import item_keys
from models.artifact import load_artifact
from models.catalogue.item_key import KeyIndex
from models.native.build import build
from models.native.library import library
from service_tests.support.artifacts import write_tiny_artifact

NUM_ITEMS = 25
item = st.sampled_from([*(f"i{number}" for number in range(1, NUM_ITEMS + 1)), "stranger", "other"])
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


def eligible(servable: Servable, query: Query) -> set[str]:
    """The rules, item by item."""
    named = dict(zip(item_keys(servable.catalogue.item_ids).tolist(), servable.catalogue.item_ids, strict=True))
    allowed = set(servable.catalogue.item_ids)
    if query.candidates is not None:
        allowed &= {named.get(key, "") for key in query.candidates.tolist()}
    if query.categories:
        of = servable.catalogue.find_index
        allowed = {i for i in allowed if set(servable.catalogue.get_categories(of(i) or 0)) & set(query.categories)}
    allowed -= {named.get(key, "") for key in query.exclude.tolist()}
    if query.exclude_seen:
        allowed -= {named.get(key, "") for key in query.history.tolist()}
    return allowed


@settings(deadline=None, max_examples=100)
@given(batch=st.lists(queries, min_size=1, max_size=5))
def test_mixed_filters_give_all_that_is_eligible_up_to_k(servable: Servable, batch: list[Query]) -> None:
    for query, answer in zip(batch, servable.run_batch(batch), strict=True):
        assert isinstance(answer, TopItems)
        possible = eligible(servable, query)
        assert len(answer.item_ids) == len(set(answer.item_ids)) == min(query.k, len(possible))
        assert set(answer.item_ids) <= possible
        assert answer.scores == sorted(answer.scores, reverse=True)
        known = [key for key in query.history.tolist() if key in set(item_keys(servable.catalogue.item_ids).tolist())]
        assert answer.source == ("model" if known else "popularity")
        assert len(answer.unknown_positions) == len(query.history) - len(known)


@settings(deadline=None, max_examples=50)
@given(batch=st.lists(queries, min_size=2, max_size=5))
def test_a_batch_answers_as_its_queries_would_alone(servable: Servable, batch: list[Query]) -> None:
    together = servable.run_batch(batch)
    for query, answer in zip(batch, together, strict=True):
        (alone,) = servable.run_batch([query])
        assert isinstance(answer, TopItems)
        assert isinstance(alone, TopItems)
        np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-4, atol=1e-5)


def test_popularity_is_catalogue_order_under_the_same_filters(servable: Servable) -> None:
    query = Query(item_keys(["stranger", "i2"]), 3, exclude=item_keys(["i1"]), categories=("even", "odd"))
    answer = servable.find_popular_items(query)
    assert (answer.item_ids, answer.scores) == (["i3", "i4", "i5"], [333.0, 250.0, 200.0])


def test_an_unknown_item_has_nothing_similar_and_harms_nobody(servable: Servable) -> None:
    missing, found = servable.run_batch([SimilarQuery("stranger", 3), SimilarQuery("i4", 3)])
    assert isinstance(missing, NotFound)
    assert isinstance(found, TopItems)
    assert len(found.item_ids) == 3


@given(names=st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=1, max_size=60), asked=st.data())
def test_keys_find_their_index_and_strangers_find_none(names: list[str], asked: st.DataObject) -> None:
    index = KeyIndex.from_ids(names)
    wanted = asked.draw(st.lists(st.sampled_from(names) | st.text(min_size=1, max_size=12), max_size=40))
    expected = [names.index(name) + 1 if name in names else 0 for name in wanted]
    assert index.find_indices(item_keys(wanted)).tolist() == expected


def test_a_folder_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="holds no artifact"):
        open_servable(tmp_path, device="cpu", threads=1, max_batch=4)


@pytest.mark.parametrize("native", [True, False])
def test_native_code_runs_the_model_only_if_the_setting_allows_it(native: bool, tmp_path: Path) -> None:
    build()
    library.cache_clear()
    servable = open_servable(write_tiny_artifact(tmp_path), device="cpu", threads=1, max_batch=2, native=native)
    expected = "native" if native and library() else "torch"
    assert servable.artifact.predictor.runner.name.partition(" ")[0] == expected
