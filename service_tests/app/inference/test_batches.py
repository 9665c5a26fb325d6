"""Batches of a servable: who shares one, who fails alone, and popularity without a model."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import Query, SimilarQuery, TopItems
from app.inference.servable import Servable
from app.item_key import item_keys
from models.artifact import load_artifact
from service_tests.app.inference.test_servable import eligible, items, queries
from service_tests.support.artifacts import write_tiny_artifact

UNREADABLE: Any = None


@pytest.fixture(scope="module")
def servable(tmp_path_factory: pytest.TempPathFactory) -> Servable:
    return Servable(load_artifact(write_tiny_artifact(tmp_path_factory.mktemp("batches"), num_items=25), device="cpu"))


def test_a_query_that_breaks_the_batch_fails_alone(servable: Servable) -> None:
    good = [Query(item_keys([f"i{number}"]), 5) for number in (1, 2, 3)]
    expected = servable.run_batch(good)
    broken = servable.run_batch([good[0], Query(UNREADABLE, 5), good[1], SimilarQuery(UNREADABLE, 5), good[2]])
    assert [isinstance(answer, Exception) for answer in broken] == [False, True, False, True, False]
    for answer, alone in zip(broken[::2], expected, strict=True):
        assert isinstance(answer, TopItems)
        assert isinstance(alone, TopItems)
        assert answer.item_ids == alone.item_ids


@settings(deadline=None, max_examples=50)
@given(
    batch=st.lists(
        st.builds(
            SimilarQuery,
            item=st.sampled_from(["i1", "i2", "i25", "stranger"]),
            k=st.integers(1, 30),
            exclude=items.map(item_keys),
            categories=st.lists(st.sampled_from(["odd", "low", "no such"]), max_size=2).map(tuple),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_similar_items_of_a_batch_are_those_of_each_query_alone(servable: Servable, batch: list[SimilarQuery]) -> None:
    for query, answer in zip(batch, servable.run_batch(batch), strict=True):
        (alone,) = servable.run_batch([query])
        assert type(answer) is type(alone)
        if isinstance(answer, TopItems):
            assert isinstance(alone, TopItems)
            assert answer.item_ids == alone.item_ids
            assert len(answer.item_ids) <= query.k


@settings(deadline=None, max_examples=100)
@given(query=queries)
def test_popular_items_are_the_first_k_eligible_of_the_catalogue(servable: Servable, query: Query) -> None:
    possible = eligible(servable, query)
    expected = [item_id for item_id in servable.catalogue.item_ids if item_id in possible]
    assert servable.find_popular_items(query).item_ids == expected[: query.k]


def test_a_popular_artifact_is_a_model_like_any_other(tmp_path: Path) -> None:
    servable = Servable(load_artifact(write_tiny_artifact(tmp_path, preset="popular"), device="cpu"))
    (answer,) = servable.run_batch([Query(item_keys(["i2"]), 3)])
    assert isinstance(answer, TopItems)
    assert (answer.item_ids, answer.scores, answer.source) == (["i1", "i3", "i4"], [1000.0, 333.0, 250.0], "model")
