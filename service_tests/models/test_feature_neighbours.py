"""Neighbours by features: those that share most, where a feature counts by how alike its items are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.feature_neighbours import MAX_NEIGHBOURS, FeatureWeights, choose_neighbours
from models.predictor import Predictor
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

ALIKE, RANDOM = np.arange(10, 20), np.arange(30, 50)


@pytest.fixture(scope="module")
def weights() -> FeatureWeights:
    """A model in which items 10 to 19 have nearly the same vector."""
    model = tiny_model(tiny_config(), tiny_catalogue())
    table = model.embedding.get_parameter("vectors.weight")
    with torch.no_grad():
        table[10:20] = table[10] + 0.05 * table[20:30]
    return FeatureWeights(Predictor(model, torch.device("cpu")))


def test_feature_whose_items_are_alike_counts_and_another_hardly_does(weights: FeatureWeights) -> None:
    assert weights.weigh(ALIKE) > 80
    assert 1 <= weights.weigh(RANDOM) <= 10
    assert weights.weigh(np.array([5])) == 1
    assert weights.weigh(np.empty(0, dtype=np.int64)) == 1


def test_item_is_placed_by_the_feature_that_says_something(weights: FeatureWeights) -> None:
    members = [RANDOM, RANDOM[:5], ALIKE[:3]]
    neighbours = choose_neighbours(members, [weights.weigh(each) for each in (RANDOM, RANDOM, ALIKE)])
    assert neighbours is not None
    assert neighbours[0].tolist() == ALIKE[:3].tolist()


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 40), unique=True).map(sorted), st.integers(1, 100)), min_size=1, max_size=6
    )
)
def test_neighbours_are_the_most_popular_items_with_the_largest_sum(pairs: list[tuple[list[int], int]]) -> None:
    neighbours = choose_neighbours(
        [np.array(items, dtype=np.int64) for items, _ in pairs], [weight for _, weight in pairs]
    )
    sums = {item: sum(weight for items, weight in pairs if item in items) for items, _ in pairs for item in items}
    if not sums:
        assert neighbours is None
        return
    assert neighbours is not None
    best = sorted(item for item, total in sums.items() if total == max(sums.values()))
    assert neighbours[0].tolist() == best[:MAX_NEIGHBOURS]
    assert len(neighbours[1]) == len(neighbours[0])
