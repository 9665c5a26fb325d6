"""Predictor: order, ties, filters before the top k, truncation, times."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import NO_TIME
from models.predictor import Predictor
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CPU = torch.device("cpu")
NUM_ITEMS = 30
CATALOGUE = tiny_catalogue(NUM_ITEMS)
PREDICTOR = Predictor(tiny_model(tiny_config("sasrec"), CATALOGUE), CPU)
POPULAR = Predictor(tiny_model(tiny_config("popular"), CATALOGUE), CPU)
indices = st.lists(st.integers(1, NUM_ITEMS), max_size=NUM_ITEMS)


@settings(deadline=None, max_examples=60)
@given(
    history=st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=60),
    excluded=indices,
    allowed_items=st.none() | indices,
    k=st.integers(1, NUM_ITEMS + 5),
)
def test_top_k_has_the_eligible_items_by_falling_score(
    history: list[int], excluded: list[int], allowed_items: list[int] | None, k: int
) -> None:
    mask = None
    if allowed_items is not None:
        mask = np.zeros(NUM_ITEMS + 1, dtype=bool)
        mask[allowed_items] = True
    query = [np.array(history, dtype=np.int64)]
    top = PREDICTOR.top_k(query, k, excluded=[np.array(excluded, dtype=np.int64)], allow_masks=[mask])
    everything = PREDICTOR.top_k(query, NUM_ITEMS)
    scores = dict(zip(everything.indices[0].tolist(), everything.scores[0].tolist(), strict=True))
    eligible = set(range(1, NUM_ITEMS + 1) if allowed_items is None else allowed_items) - set(excluded)
    expected = sorted(eligible, key=lambda index: (-scores[index], index))[:k]
    top_items = top.indices[0].tolist()
    assert [index for index in top_items if index] == expected
    assert top.scores[0, : len(expected)].tolist() == [scores[index] for index in expected]
    assert all(np.isneginf(top.scores[0, len(expected) :]))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 29, 30])
def test_ties_are_in_catalogue_order(k: int) -> None:
    with torch.no_grad():
        POPULAR.model.head.get_buffer("counts").copy_(torch.tensor([0.0, 5.0, *[3.0] * 29]))
    assert POPULAR.top_k([np.array([1])], k).indices[0].tolist() == list(range(1, k + 1))


def test_only_the_newest_items_of_a_history_count() -> None:
    rng = np.random.default_rng(0)
    newest = rng.integers(1, NUM_ITEMS + 1, PREDICTOR.max_len)
    longer = np.concatenate((rng.integers(1, NUM_ITEMS + 1, 25), newest))
    short, long = PREDICTOR.top_k([newest], 10), PREDICTOR.top_k([longer], 10)
    assert np.array_equal(short.indices, long.indices)
    assert np.array_equal(short.scores, long.scores)


def test_filters_do_not_affect_other_histories_of_the_batch() -> None:
    history = np.array([3, 7, 9])
    nothing = np.zeros(NUM_ITEMS + 1, dtype=bool)
    no_exclusion = np.empty(0, dtype=np.int64)
    together = PREDICTOR.top_k(
        [history, history, history],
        5,
        excluded=[no_exclusion, np.array([1, 2]), no_exclusion],
        allow_masks=[None, None, nothing],
    )
    alone = PREDICTOR.top_k([history], 5)
    assert np.array_equal(together.indices[0], alone.indices[0])
    assert not together.indices[2].any()


def test_encoded_histories_are_searched_in_any_order_and_repeatedly() -> None:
    rng = np.random.default_rng(4)
    histories = [rng.integers(1, NUM_ITEMS + 1, length) for length in (3, 1, 9)]
    rows, masks = [2, 0, 2, 1], [rng.random(NUM_ITEMS + 1) < 0.5 for _ in range(4)]
    excluded = [rng.integers(1, NUM_ITEMS + 1, 4) for _ in rows]
    encoded = PREDICTOR.encode(histories)
    top = PREDICTOR.search(encoded, rows, 7, excluded, masks)
    for row, history in enumerate(rows):
        alone = PREDICTOR.top_k([histories[history]], 7, excluded=[excluded[row]], allow_masks=[masks[row]])
        assert np.array_equal(top.indices[row], alone.indices[0])
        np.testing.assert_allclose(top.scores[row], alone.scores[0], rtol=1e-4, atol=1e-5)
    whole = PREDICTOR.search(encoded, range(3), 7, excluded[:3], [None] * 3)
    assert np.array_equal(whole.indices, PREDICTOR.top_k(histories, 7, excluded=excluded[:3]).indices)


def test_similar_items_have_the_largest_cosine_and_exclude_the_item() -> None:
    table = PREDICTOR.model.embedding.table().detach()[1:]
    unit = torch.nn.functional.normalize(table)
    cosine = unit @ unit.T
    cosine.fill_diagonal_(-2.0)
    similar = PREDICTOR.find_similar(np.array([4, 11]), 5)
    expected = cosine[[3, 10]].topk(5)
    assert np.array_equal(similar.indices, expected.indices.numpy() + 1)
    np.testing.assert_allclose(similar.scores, expected.values.numpy(), rtol=1e-5)


@pytest.mark.parametrize("preset", ["lsan", "blossom"])
def test_times_affect_only_models_that_read_them(preset: str) -> None:
    reads = Predictor(tiny_model(tiny_config(preset), CATALOGUE), CPU)
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, NUM_ITEMS + 1, length) for length in rng.integers(1, 60, 20)]
    times = [rng.integers(10**9, 2 * 10**9, len(history)).astype(np.uint32) for history in histories]
    unknown = [np.full(len(history), NO_TIME, dtype=np.uint32) for history in histories]
    with_times, without = reads.top_k(histories, 10, times=times), reads.top_k(histories, 10)
    differs = np.abs(with_times.scores - without.scores).max(axis=1) > 1e-3
    assert all(differs[[len(history) > 1 for history in histories]])
    assert np.array_equal(reads.top_k(histories, 10, times=unknown).scores, without.scores)
    for row in range(20):  # of any length, so groups that are encoded together mix them
        alone = reads.top_k([histories[row]], 10, times=[times[row]])
        np.testing.assert_allclose(alone.scores[0], with_times.scores[row], rtol=1e-4, atol=1e-5)
    assert np.array_equal(PREDICTOR.top_k(histories, 10, times=times).scores, PREDICTOR.top_k(histories, 10).scores)


def test_empty_history_raises() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        PREDICTOR.top_k([np.empty(0, dtype=np.int64)], 5)


def test_model_bytes_are_those_of_the_tensors() -> None:
    bytes_by_part = PREDICTOR.count_model_bytes()
    assert bytes_by_part["embedding"] == 4 * (NUM_ITEMS + 1) * 16
    assert bytes_by_part["head"] == 0
    assert sum(bytes_by_part.values()) == sum(p.nbytes for p in PREDICTOR.model.parameters())
