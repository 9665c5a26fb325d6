"""New items next to a catalogue: their vectors, and the exact merge with the model's items."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from models.new_items import ExtendedPredictor, PlacedItems, place_items
from models.predictor import Predictor
from models.scorers.vectors import get_item_vectors
from models.transitions.counting import fill_memory
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

NUM_ITEMS, NUM_NEW = 40, 7
FORMS = ["sasrec", "blossom", "cprec"]


@cache
def make_predictor(form: str) -> tuple[Predictor, PlacedItems]:
    catalogue = tiny_catalogue(NUM_ITEMS)
    model = tiny_model(tiny_config(form), catalogue)
    if model.transitions is not None:
        fill_memory(model.transitions, [np.arange(first, first + 5) for first in range(1, NUM_ITEMS - 4)])
    predictor = Predictor(model, torch.device("cpu"))
    rng = np.random.default_rng(0)
    sizes = [1, 1, *rng.integers(1, 5, NUM_NEW - 2)]
    neighbours = [
        (np.sort(rng.choice(np.arange(1, NUM_ITEMS + 1), size, replace=False)), rng.random(size).astype(np.float32) + 1)
        for size in sizes
    ]
    neighbours[1] = neighbours[0]  # two new items with equal scores
    placed = place_items(predictor, neighbours)
    assert placed is not None
    return predictor, placed


def rank_all(
    predictor: Predictor, placed: PlacedItems, history: NDArray[np.int64], excluded: NDArray[np.int64], mask: object
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rank all eligible items by scores that are computed one by one, ties by index."""
    trained = predictor.score_items([history], np.arange(1, NUM_ITEMS + 1))[0]
    vectors = get_item_vectors(predictor.model)
    assert vectors is not None
    query = vectors.to_query(predictor.encode([history]).hidden)
    scores = np.concatenate((trained, (query @ placed.rows.T).detach().numpy()[0]))
    indices = np.arange(1, NUM_ITEMS + len(placed) + 1)
    is_eligible = ~np.isin(indices, excluded)
    if mask is not None:
        is_eligible &= np.asarray(mask)[indices]
    order = np.lexsort((indices, -scores))
    order = order[is_eligible[order]]
    return indices[order], scores[order]


def list_masks() -> st.SearchStrategy[NDArray[np.bool_] | None]:
    mask = st.lists(st.booleans(), min_size=NUM_ITEMS + NUM_NEW + 1, max_size=NUM_ITEMS + NUM_NEW + 1)
    return st.none() | mask.map(np.array)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=6),
            st.lists(st.integers(1, NUM_ITEMS + NUM_NEW), max_size=30),
            list_masks(),
        ),
        min_size=1,
        max_size=4,
    ),
    k=st.integers(1, NUM_ITEMS + NUM_NEW + 3),
)
def test_search_equals_that_of_one_larger_catalogue(
    form: str, rows: list[tuple[list[int], list[int], NDArray[np.bool_] | None]], k: int
) -> None:
    predictor, placed = make_predictor(form)
    histories = [np.array(history) for history, _, _ in rows]
    excluded = [np.array(items, dtype=np.int64) for _, items, _ in rows]
    masks = [mask for _, _, mask in rows]
    top = ExtendedPredictor(predictor, placed).top_k(histories, k, excluded=excluded, allow_masks=masks)
    for row, history in enumerate(histories):
        indices, scores = rank_all(predictor, placed, history, excluded[row], masks[row])
        count = min(k, len(indices))
        assert np.count_nonzero(top.indices[row]) == count
        assert_allclose(top.scores[row, :count], scores[:count], rtol=1e-4, atol=1e-5)
        expected = dict(zip(indices.tolist(), scores.tolist(), strict=True))
        for index, score in zip(top.indices[row, :count].tolist(), top.scores[row, :count].tolist(), strict=True):
            assert_allclose(score, expected[index], rtol=1e-4, atol=1e-5)
        assert len(set(top.indices[row, :count].tolist())) == count


def test_equal_new_items_are_in_order() -> None:
    predictor, placed = make_predictor("sasrec")
    extended = ExtendedPredictor(predictor, placed)
    top = extended.top_k([np.array([3])], NUM_ITEMS + NUM_NEW, excluded=[np.empty(0, np.int64)], allow_masks=[None])
    ranking = top.indices[0].tolist()
    first = ranking.index(NUM_ITEMS + 1)
    assert ranking[first + 1] == NUM_ITEMS + 2, "they have the same neighbours"


def test_new_item_with_one_neighbour_scores_as_that() -> None:
    predictor, _ = make_predictor("sasrec")
    placed = place_items(predictor, [(np.array([9]), np.array([2.0], dtype=np.float32))])
    assert placed is not None
    assert placed.substitutes.tolist() == [9]
    extended = ExtendedPredictor(predictor, placed)
    mask = np.zeros(NUM_ITEMS + 2, dtype=bool)
    mask[[9, NUM_ITEMS + 1]] = True
    top = extended.top_k([np.array([3, 4])], 5, excluded=[np.empty(0, np.int64)], allow_masks=[mask])
    assert sorted(top.indices[0, :2].tolist()) == [9, NUM_ITEMS + 1], "in any order: their products round differently"
    assert top.indices[0, 2] == 0
    assert_allclose(top.scores[0, 0], top.scores[0, 1], rtol=1e-5)
    vectors = extended.get_vectors(np.array([9, NUM_ITEMS + 1]))
    assert_allclose(vectors[0], vectors[1], rtol=1e-6)


def test_model_without_inner_products_has_no_new_items() -> None:
    predictor = Predictor(tiny_model(tiny_config("popular"), tiny_catalogue(NUM_ITEMS)), torch.device("cpu"))
    assert place_items(predictor, [(np.array([9]), np.array([1.0], dtype=np.float32))]) is None
