"""Scoring by the kernel answers what plain answers, whatever is denied, allowed or equal."""

import numpy as np
import pytest
import torch

from models.config import Part
from models.scorers.exact.grouped import GROUP
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.triton_scorer import TOLERANCE, largest_difference
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import GroupMaxima
from service_tests.contracts.test_scorers import assert_same, filters, model_of, queries
from service_tests.models.scorers.exact.grouped_scorers import triton_scorer

TABLES = [Part("full"), Part("codes"), Part("codes", {"codebook": 200, "splits": 2})]


@pytest.mark.parametrize("table", TABLES, ids=lambda part: f"{part.name}{len(part.options)}")
@pytest.mark.parametrize(("num_items", "rows", "k"), [(5, 1, 5), (300, 3, 20), (1_500, 18, 60)])
@pytest.mark.parametrize("share_denied", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("share_allowed", [None, 0.02])
@pytest.mark.parametrize("whole", [False, True])
def test_it_answers_what_plain_answers(
    table: Part,
    num_items: int,
    rows: int,
    k: int,
    share_denied: float,
    share_allowed: float | None,
    whole: bool,
    device: torch.device,
) -> None:
    model = model_of(table, "tied", num_items, k, whole=whole).to(device)
    hidden = queries(rows, k, whole=whole).to(device)
    item_filter = filters(num_items, rows, k, share_denied, share_allowed)
    with torch.inference_mode():
        found, expected = (
            scorer.find_top_k(hidden, k, item_filter) for scorer in (triton_scorer(model), PlainScorer.for_model(model))
        )
    if whole:  # equals are equal, and stand in catalogue order
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.indices, expected.indices)
    else:
        assert_same(found, expected)


def test_fewer_than_k_eligible_items_leave_zeros_at_the_end(device: torch.device) -> None:
    model = model_of(Part("full"), "tied", 700, 0, whole=False).to(device)
    mask = np.zeros(701, dtype=bool)
    mask[[0, 7, 400, 699]] = True
    item_filter = ItemFilter(700, [np.array([400]), np.arange(3, 701)], [mask, None])
    with torch.inference_mode():
        found = triton_scorer(model).find_top_k(queries(2, 0, whole=False).to(device), 4, item_filter)
    assert [sorted(row) for row in found.indices.tolist()] == [[0, 0, 7, 699], [0, 0, 1, 2]]
    assert found.values.isneginf().sum(-1).tolist() == [2, 2]


@pytest.mark.parametrize("table", TABLES, ids=lambda part: f"{part.name}{len(part.options)}")
def test_a_kernel_of_another_table_is_not_trusted(table: Part, device: torch.device) -> None:
    model, other = (model_of(table, "tied", 200, seed, whole=False).to(device) for seed in (0, 1))
    vectors = ItemVectors(model)
    with torch.inference_mode():
        assert largest_difference(vectors, GroupMaxima(model.embedding, GROUP)) < TOLERANCE
        assert largest_difference(vectors, GroupMaxima(other.embedding, GROUP)) > TOLERANCE
