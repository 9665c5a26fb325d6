"""Int8 scorer: upper bounds hold, and histories that they cannot settle use the fallback."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Part
from models.scorers.exact.blocked import CHUNK_CELLS, BlockedScorer
from models.scorers.exact.int8 import (
    GROUP,
    MAX_CANDIDATE_GROUPS,
    SPARE_GROUPS,
    Int8Scorer,
    Int8Table,
    has_exact_int8_matmul,
)
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from service_tests.contracts.test_scorers import DIM, make_model, make_queries

pytestmark = pytest.mark.skipif(
    not has_exact_int8_matmul(torch.device("cpu")), reason="this processor has no exact int8 product"
)


@settings(deadline=None, max_examples=30)
@given(
    num_items=st.integers(1, 3_000),
    head=st.sampled_from(["tied", "dense"]),
    outlier=st.floats(1, 1e4),
    seed=st.integers(0, 99),
)
def test_no_item_scores_above_the_bound_of_its_group(num_items: int, head: str, outlier: float, seed: int) -> None:
    model = make_model(Part("full"), head, num_items, seed, whole=False)
    rows = model.embedding.table() if head == "tied" else model.head.get_parameter("output.weight")
    hidden = make_queries(5, seed, whole=False)
    with torch.inference_mode():
        rows[seed % len(rows)] *= outlier  # an outlier that coarsens the scale of its group
        vectors = ItemVectors(model)
        bounds = Int8Table(vectors).compute_bounds(vectors.to_query(hidden), ItemFilter(num_items))
        scores = model.scores(hidden)[:, 1:]
    groups = torch.arange(1, num_items + 1) // GROUP
    assert (scores <= bounds[:, groups] + 1e-5 * scores.abs()).all()


def test_bound_includes_the_rounding_error_of_the_query() -> None:
    model = make_model(Part("full"), "tied", 100, 0, whole=False)
    hidden = torch.full((1, DIM), 0.49)
    hidden[0, 0] = 127  # all other entries round to 0
    with torch.inference_mode():
        model.embedding.table().fill_(1.0)[:, 0] = 0.0  # exact in int8
        bounds = Int8Table(ItemVectors(model)).compute_bounds(hidden, ItemFilter(100))
    assert (bounds >= 0.49 * (DIM - 1)).all()


def test_group_without_eligible_items_has_bound_minus_infinity() -> None:
    model = make_model(Part("full"), "tied", 4 * GROUP - 1, 0, whole=False)
    mask = np.zeros(4 * GROUP, dtype=bool)
    mask[2 * GROUP] = True
    item_filter = ItemFilter(4 * GROUP - 1, [np.arange(GROUP, 2 * GROUP), np.arange(GROUP)], [None, mask])
    with torch.inference_mode():
        bounds = Int8Table(ItemVectors(model)).compute_bounds(make_queries(2, 0, whole=False), item_filter)
    assert torch.isfinite(bounds).tolist() == [[True, False, True, True], [False, False, True, False]]


def test_bound_is_close_to_the_best_score_of_its_group() -> None:
    model = make_model(Part("full"), "tied", 3_000, 0, whole=False)
    hidden = make_queries(5, 0, whole=False)
    with torch.inference_mode():
        bounds = Int8Table(ItemVectors(model)).compute_bounds(hidden, ItemFilter(3_000))
        best = model.scores(hidden)[:, : GROUP * (3_001 // GROUP)].view(5, -1, GROUP).amax(-1)
    assert (bounds[:, : best.shape[1]] - best).mean() < 0.15 * hidden.norm(dim=-1).mean()


def test_items_too_similar_for_int8_are_ranked_by_the_fallback() -> None:
    num_items = GROUP * (MAX_CANDIDATE_GROUPS + 200)
    model = make_model(Part("full"), "tied", num_items, 0, whole=False)
    hidden = make_queries(3, 0, whole=False)
    with torch.inference_mode():
        table = model.embedding.table()
        table.copy_(table[:1] + 1 + 1e-4 * torch.randn(table.shape, generator=torch.Generator().manual_seed(3)))
        int8, blocked = Int8Scorer.for_model(model), BlockedScorer.for_model(model)
        assert int8 is not None
        assert blocked is not None
        bounds = int8.table.compute_bounds(hidden, ItemFilter(num_items))
        actual, expected = (
            int8.find_top_k(hidden, 10, ItemFilter(num_items)),
            blocked.find_top_k(hidden, 10, ItemFilter(num_items)),
        )
    num_candidates = (bounds >= expected.values[:, -1:]).sum(-1)
    assert (num_candidates > 2 * (10 + SPARE_GROUPS) + MAX_CANDIDATE_GROUPS).all(), (
        "more groups reach the threshold than are ever scored"
    )
    assert torch.equal(actual.indices, expected.indices)


@pytest.mark.parametrize("rows", [3, 12, 21])
def test_any_batch_size_works_over_several_chunks(rows: int) -> None:
    num_items = 3 * CHUNK_CELLS // rows
    model = make_model(Part("full"), "tied", num_items, 0, whole=False)
    hidden = make_queries(rows, 0, whole=False)
    with torch.inference_mode():
        actual, expected = (
            scorer.find_top_k(hidden, 10, ItemFilter(num_items)).values
            for scorer in (Int8Scorer.for_model(model), BlockedScorer.for_model(model))
            if scorer is not None
        )
    torch.testing.assert_close(actual, expected)


def test_table_takes_a_quarter_of_the_bytes() -> None:
    model = make_model(Part("full"), "tied", 10_000, 0, whole=False)
    int8 = Int8Scorer.for_model(model)
    assert int8 is not None
    assert 10_000 * DIM <= int8.nbytes <= 1.05 * 10_000 * DIM + 12 * 10_000 / GROUP
