"""The chunked loss has the values and gradients of the plain formula, at every chunk size."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.layers.candidate_cross_entropy import candidate_cross_entropy


def compute_plain(leaves: list[Tensor], collide: Tensor, bias: Tensor | None) -> Tensor:
    hidden, candidates, rows = leaves
    scores = hidden @ candidates.T
    if bias is not None:
        scores = scores + bias
    target = (hidden * rows).sum(-1, keepdim=True)
    logits = torch.cat((target, scores.masked_fill(collide, -torch.inf)), dim=1)
    return -logits.log_softmax(-1)[:, 0].mean()


def clone_leaves(*tensors: Tensor) -> list[Tensor]:
    return [tensor.clone().requires_grad_() for tensor in tensors]


@settings(deadline=None, max_examples=60)
@given(
    tokens=st.integers(1, 9),
    items=st.integers(1, 12),
    max_cells=st.integers(1, 200),
    seed=st.integers(0, 1000),
    sampled=st.booleans(),
)
def test_value_and_gradients_equal_the_plain_formula(
    tokens: int, items: int, max_cells: int, seed: int, sampled: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 4, generator=generator)
    table = torch.randn(items, 4, generator=generator)
    targets = torch.randint(0, items, (tokens,), generator=generator)
    ids = torch.randint(0, items, (6,), generator=generator) if sampled else None
    bias = torch.randn(6, generator=generator) if sampled else None
    candidates = torch.arange(items) if ids is None else ids
    leaves = clone_leaves(hidden, table[candidates], table[targets])
    expected_leaves = clone_leaves(hidden, table[candidates], table[targets])
    loss = candidate_cross_entropy(*leaves, collisions=targets, ids=ids, bias=bias, max_cells=max_cells)
    expected = compute_plain(expected_leaves, collide=targets[:, None] == candidates, bias=bias)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        torch.testing.assert_close(leaf.grad, expected_leaf.grad)


@settings(deadline=None, max_examples=40)
@given(tokens=st.integers(1, 9), max_cells=st.integers(1, 200), seed=st.integers(0, 1000), sampled=st.booleans())
def test_weighted_value_and_gradients_are_those_of_the_weighted_mean(
    tokens: int, max_cells: int, seed: int, sampled: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, table = torch.randn(tokens, 4, generator=generator), torch.randn(7, 4, generator=generator)
    targets = torch.randint(0, 7, (tokens,), generator=generator)
    ids = torch.randint(0, 7, (6,), generator=generator) if sampled else None
    weights = torch.rand(tokens, generator=generator) + 0.01
    candidates = torch.arange(7) if ids is None else ids
    leaves = clone_leaves(hidden, table[candidates], table[targets])
    loss = candidate_cross_entropy(*leaves, collisions=targets, ids=ids, token_weights=weights, max_cells=max_cells)
    (3 * loss).backward()
    expected_leaves = clone_leaves(hidden, table[candidates], table[targets])
    collide = targets[:, None] == candidates
    parts = [
        weight * compute_plain([expected_leaves[0][[row]], expected_leaves[1], expected_leaves[2][[row]]], each, None)
        for row, (weight, each) in enumerate(zip(weights, collide[:, None], strict=True))
    ]
    expected = torch.stack(parts).sum() / weights.sum()
    (3 * expected).backward()
    torch.testing.assert_close(loss, expected)
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        torch.testing.assert_close(leaf.grad, expected_leaf.grad)


def test_weighted_loss_equals_a_case_computed_by_hand() -> None:
    """Scores 0 and log 3: the first token has the probability 1/4, the second 3/4; weights 3 and 1."""
    table = torch.tensor([[0.0], [math.log(3)]])
    targets = torch.tensor([0, 1])
    loss = candidate_cross_entropy(
        torch.ones(2, 1), table, table[targets], collisions=targets, token_weights=torch.tensor([3.0, 1.0])
    )
    assert loss.item() == pytest.approx(-(3 * math.log(1 / 4) + math.log(3 / 4)) / 4)


def test_large_scores_do_not_overflow() -> None:
    hidden = torch.tensor([[1000.0], [-1000.0]])
    table = torch.tensor([[1.0], [-1.0], [0.5]])
    targets = torch.tensor([0, 0])
    loss = candidate_cross_entropy(hidden, table, table[targets], collisions=targets)
    torch.testing.assert_close(loss, torch.tensor((0.0 + 2000.0) / 2))
