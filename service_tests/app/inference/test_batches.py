"""Batches of a servable: isolation of failing queries, and popular items without a model."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import Query, SimilarQuery, TopItems, find_popular_items
from app.inference.servable import Servable
from models.artifact import load_artifact
from models.catalogue.item_key import item_keys
from service_tests.app.inference.test_servable import find_eligible, items, queries
from service_tests.support.artifacts import write_tiny_artifact

INVALID: Any = None


@pytest.fixture(scope="module")
def servable(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    return Servable(load_artifact(write_tiny_artifact(tmp_path_factory.mktemp("batches"), num_items=25), device="cpu"))


def test_query_that_breaks_the_batch_fails_alone(servable: Servable) -> None:
    valid = [Query(item_keys([f"i{number}"]), 5) for number in (1, 2, 3)]
    expected = servable.run_batch(valid)
    results = servable.run_batch([valid[0], Query(INVALID, 5), valid[1], SimilarQuery(INVALID, 5), valid[2]])
    assert [isinstance(result, Exception) for result in results] == [False, True, False, True, False]
    for answer, alone in zip(results[::2], expected, strict=True):
        assert isinstance(answer, TopItems)
        assert isinstance(alone, TopItems)
        assert answer.item_ids == alone.item_ids


@settings(deadline=None, max_examples=50)
@given(
    batch=st.lists(
        st.builds(
            SimilarQuery,
            item=st.sampled_from(["i1", "i2", "i25", "unknown"]),
            k=st.integers(1, 30),
            exclude=items.map(item_keys),
            categories=st.lists(st.sampled_from(["odd", "low", "no such"]), max_size=2).map(tuple),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_similar_items_of_a_batch_equal_those_of_each_query_alone(
    servable: Servable, batch: list[SimilarQuery]
) -> None:
    for query, answer in zip(batch, servable.run_batch(batch), strict=True):
        (alone,) = servable.run_batch([query])
        assert type(answer) is type(alone)
        if isinstance(answer, TopItems):
            assert isinstance(alone, TopItems)
            assert answer.item_ids == alone.item_ids
            assert len(answer.item_ids) <= query.k


@settings(deadline=None, max_examples=100)
@given(query=queries)
def test_popular_items_are_the_first_k_eligible_items_of_the_catalogue(servable: Servable, query: Query) -> None:
    eligible = find_eligible(servable, query)
    expected = [item_id for item_id in servable.catalogue.item_ids if item_id in eligible]
    assert find_popular_items(servable, query).item_ids == expected[: query.k]


def test_popular_artifact_serves_as_a_model(tmp_path: Path) -> None:
    servable = Servable(load_artifact(write_tiny_artifact(tmp_path, preset="popular"), device="cpu"))
    (answer,) = servable.run_batch([Query(item_keys(["i2"]), 3)])
    assert isinstance(answer, TopItems)
    assert (answer.item_ids, answer.scores, answer.source) == (["i1", "i3", "i4"], [1000.0, 333.0, 250.0], "model")
