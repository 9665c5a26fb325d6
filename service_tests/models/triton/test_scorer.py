"""Triton scorer: the same top k as `plain` for every filter and tie."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.scorers.exact.grouped import GROUP
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.triton_scorer import TOLERANCE, compare_with_torch
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import GroupMaxima
from service_tests.contracts.test_scorers import assert_same, make_filter, make_model, make_queries
from service_tests.models.scorers.exact.grouped_scorers import make_triton_scorer

pytestmark = pytest.mark.optional

TABLES = [Part("full"), Part("codes"), Part("codes", {"codebook": 200, "splits": 2})]


@pytest.mark.parametrize("table", TABLES, ids=lambda part: f"{part.name}{len(part.options)}")
@pytest.mark.parametrize(("num_items", "rows", "k"), [(5, 1, 5), (300, 3, 20), (1_500, 18, 60)])
@pytest.mark.parametrize("share_excluded", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("share_allowed", [None, 0.02])
@pytest.mark.parametrize("whole", [False, True])
def test_triton_returns_the_top_k_of_plain(
    table: Part,
    num_items: int,
    rows: int,
    k: int,
    share_excluded: float,
    share_allowed: float | None,
    whole: bool,
    device: torch.device,
) -> None:
    model = make_model(table, "tied", num_items, k, whole=whole).to(device)
    hidden = make_queries(rows, k, whole=whole).to(device)
    item_filter = make_filter(num_items, rows, k, share_excluded, share_allowed)
    with torch.inference_mode():
        actual, expected = (
            scorer.find_top_k(hidden, k, item_filter)
            for scorer in (make_triton_scorer(model), PlainScorer.for_model(model))
        )
    if whole:  # ties are exact, and in catalogue order
        assert torch.equal(actual.values, expected.values)
        assert torch.equal(actual.indices, expected.indices)
    else:
        assert_same(actual, expected)


def test_fewer_than_k_eligible_items_end_in_padding(device: torch.device) -> None:
    model = make_model(Part("full"), "tied", 700, 0, whole=False).to(device)
    mask = np.zeros(701, dtype=bool)
    mask[[0, 7, 400, 699]] = True
    item_filter = ItemFilter(700, [np.array([400]), np.arange(3, 701)], [mask, None])
    with torch.inference_mode():
        actual = make_triton_scorer(model).find_top_k(make_queries(2, 0, whole=False).to(device), 4, item_filter)
    assert [sorted(row) for row in actual.indices.tolist()] == [[0, 0, 7, 699], [0, 0, 1, 2]]
    assert actual.values.isneginf().sum(-1).tolist() == [2, 2]


@pytest.mark.parametrize("table", TABLES, ids=lambda part: f"{part.name}{len(part.options)}")
def test_kernel_of_another_table_differs(table: Part, device: torch.device) -> None:
    model, other = (make_model(table, "tied", 200, seed, whole=False).to(device) for seed in (0, 1))
    vectors = ItemVectors(model)
    with torch.inference_mode():
        assert compare_with_torch(vectors, GroupMaxima(model.embedding, GROUP)) < TOLERANCE
        assert compare_with_torch(vectors, GroupMaxima(other.embedding, GROUP)) > TOLERANCE
