"""The int8 scan: bounds that hold, and a proof that notices when it cannot be given."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Part
from models.scorers.exact.blocked import CELLS, BlockedScorer
from models.scorers.exact.int8 import GROUP, MOST, SPARE, Int8Scorer, Int8Table, multiplies_exactly
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from service_tests.contracts.test_scorers import DIM, model_of, queries

pytestmark = pytest.mark.skipif(
    not multiplies_exactly(torch.device("cpu")), reason="this processor does not multiply int8 exactly"
)


@settings(deadline=None, max_examples=30)
@given(
    num_items=st.integers(1, 3_000),
    head=st.sampled_from(["tied", "dense"]),
    loud=st.floats(1, 1e4),
    seed=st.integers(0, 99),
)
def test_no_item_scores_above_the_bound_of_its_group(num_items: int, head: str, loud: float, seed: int) -> None:
    model = model_of(Part("full"), head, num_items, seed, whole=False)
    rows = model.embedding.table() if head == "tied" else model.head.get_parameter("output.weight")
    hidden = queries(5, seed, whole=False)
    with torch.inference_mode():
        rows[seed % len(rows)] *= loud  # one item that spoils the scale of its group
        vectors = ItemVectors(model)
        bounds = Int8Table(vectors).bounds(vectors.query(hidden), ItemFilter(num_items))
        scores = model.scores(hidden)[:, 1:]
    groups = torch.arange(1, num_items + 1) // GROUP
    assert (scores <= bounds[:, groups] + 1e-5 * scores.abs()).all()


def test_a_bound_counts_what_the_query_loses_too() -> None:
    model = model_of(Part("full"), "tied", 100, 0, whole=False)
    hidden = torch.full((1, DIM), 0.49)
    hidden[0, 0] = 127  # the others become 0
    with torch.inference_mode():
        model.embedding.table().fill_(1.0)[:, 0] = 0.0  # which int8 holds exactly
        bounds = Int8Table(ItemVectors(model)).bounds(hidden, ItemFilter(100))
    assert (bounds >= 0.49 * (DIM - 1)).all()


def test_a_group_without_an_eligible_item_has_no_bound() -> None:
    model = model_of(Part("full"), "tied", 4 * GROUP - 1, 0, whole=False)
    mask = np.zeros(4 * GROUP, dtype=bool)
    mask[2 * GROUP] = True
    item_filter = ItemFilter(4 * GROUP - 1, [np.arange(GROUP, 2 * GROUP), np.arange(GROUP)], [None, mask])
    with torch.inference_mode():
        bounds = Int8Table(ItemVectors(model)).bounds(queries(2, 0, whole=False), item_filter)
    assert torch.isfinite(bounds).tolist() == [[True, False, True, True], [False, False, True, False]]


def test_a_bound_is_near_the_best_score_of_its_group() -> None:
    model = model_of(Part("full"), "tied", 3_000, 0, whole=False)
    hidden = queries(5, 0, whole=False)
    with torch.inference_mode():
        bounds = Int8Table(ItemVectors(model)).bounds(hidden, ItemFilter(3_000))
        best = model.scores(hidden)[:, : GROUP * (3_001 // GROUP)].view(5, -1, GROUP).amax(-1)
    assert (bounds[:, : best.shape[1]] - best).mean() < 0.15 * hidden.norm(dim=-1).mean()


def test_items_too_near_each_other_for_int8_are_told_apart_all_the_same() -> None:
    num_items = GROUP * (MOST + 200)
    model = model_of(Part("full"), "tied", num_items, 0, whole=False)
    hidden = queries(3, 0, whole=False)
    with torch.inference_mode():
        table = model.embedding.table()
        table.copy_(table[:1] + 1 + 1e-4 * torch.randn(table.shape, generator=torch.Generator().manual_seed(3)))
        int8, blocked = Int8Scorer.for_model(model), BlockedScorer.for_model(model)
        assert int8 is not None
        assert blocked is not None
        bounds = int8.table.bounds(hidden, ItemFilter(num_items))
        found, expected = (
            int8.find_top_k(hidden, 10, ItemFilter(num_items)),
            blocked.find_top_k(hidden, 10, ItemFilter(num_items)),
        )
    undecided = (bounds >= expected.values[:, -1:]).sum(-1)
    assert (undecided > 2 * (10 + SPARE) + MOST).all(), "more groups may matter than are ever scored"
    assert torch.equal(found.indices, expected.indices)


@pytest.mark.parametrize("rows", [3, 12, 21])
def test_any_number_of_histories_is_answered_over_several_stretches(rows: int) -> None:
    num_items = 3 * CELLS // rows
    model = model_of(Part("full"), "tied", num_items, 0, whole=False)
    hidden = queries(rows, 0, whole=False)
    with torch.inference_mode():
        found, exact = (
            one.find_top_k(hidden, 10, ItemFilter(num_items)).values
            for one in (Int8Scorer.for_model(model), BlockedScorer.for_model(model))
            if one is not None
        )
    torch.testing.assert_close(found, exact)


def test_it_keeps_a_quarter_of_the_bytes() -> None:
    model = model_of(Part("full"), "tied", 10_000, 0, whole=False)
    int8 = Int8Scorer.for_model(model)
    assert int8 is not None
    assert 10_000 * DIM <= int8.nbytes <= 1.05 * 10_000 * DIM + 12 * 10_000 / GROUP
