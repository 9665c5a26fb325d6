"""gBCE has the values and gradients of its formula, at every chunk size; calibration yields probabilities."""

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers.calibrated_binary_cross_entropy import calibrated_binary_cross_entropy, compute_positive_power


def compute_plain(leaves: list[Tensor], collide: Tensor, beta: float) -> Tensor:
    """Compute the formula as published."""
    hidden, negatives, rows = leaves
    positive = (hidden * rows).sum(-1).sigmoid() ** beta
    negative = (1 - (hidden @ negatives.T).sigmoid()).masked_fill(collide, 1.0)
    return -((positive.log() + negative.log().sum(-1)) / (len(negatives) + 1)).mean()


def sample_inputs(tokens: int, count: int, items: int, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Sample leaves in float64, targets and ids of the negatives."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(items, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, items, (tokens,), generator=generator)
    ids = torch.randint(0, items, (count,), generator=generator)
    hidden = torch.randn(tokens, 4, generator=generator, dtype=torch.float64)
    return [leaf.requires_grad_() for leaf in (hidden, table[ids], table[targets])], targets, ids


def test_loss_equals_a_case_computed_by_hand() -> None:
    """σ(log 3) = 3/4, σ(0) = 1/2: L = −(½ log 3/4 + log 1/2 + log 1/4) / 3."""
    loss = calibrated_binary_cross_entropy(
        torch.ones(1, 1),
        torch.tensor([[0.0], [math.log(3)]]),
        torch.tensor([[math.log(3)]]),
        collisions=torch.tensor([7]),
        ids=torch.tensor([1, 2]),
        beta=0.5,
    )
    assert loss.item() == pytest.approx(-(0.5 * math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 4)) / 3)


@settings(deadline=None, max_examples=30)
@given(tokens=st.integers(1, 9), max_cells=st.integers(1, 60), seed=st.integers(0, 1000))
def test_weighted_value_and_gradients_are_those_of_the_weighted_mean(tokens: int, max_cells: int, seed: int) -> None:
    leaves, targets, ids = sample_inputs(tokens, 4, 5, seed)
    weights = torch.rand(tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    collide = targets[:, None] == ids
    expected = (
        torch.stack(
            [
                weight * compute_plain([leaves[0][[row]], leaves[1], leaves[2][[row]]], collide[[row]], 0.3)
                for row, weight in enumerate(weights)
            ]
        ).sum()
        / weights.sum()
    )
    loss = calibrated_binary_cross_entropy(
        *leaves, collisions=targets, ids=ids, beta=0.3, token_weights=weights, max_cells=max_cells
    )
    torch.testing.assert_close(loss, expected)
    for gradient, expected_gradient in zip(
        torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves), strict=True
    ):
        torch.testing.assert_close(gradient, expected_gradient)


@settings(deadline=None, max_examples=60)
@given(
    tokens=st.integers(1, 9),
    count=st.integers(1, 6),
    max_cells=st.integers(1, 60),
    seed=st.integers(0, 1000),
    beta=st.floats(0.01, 1),
)
def test_value_and_gradients_equal_the_formula(tokens: int, count: int, max_cells: int, seed: int, beta: float) -> None:
    leaves, targets, ids = sample_inputs(tokens, count, 5, seed)
    expected_leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    loss = calibrated_binary_cross_entropy(*leaves, collisions=targets, ids=ids, beta=beta, max_cells=max_cells)
    expected = compute_plain(expected_leaves, collide=targets[:, None] == ids, beta=beta)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        torch.testing.assert_close(leaf.grad, expected_leaf.grad)


def test_gradient_equals_numerical_gradient() -> None:
    leaves, targets, ids = sample_inputs(5, 4, 6, 3)

    def compute_loss(*tensors: Tensor) -> Tensor:
        return calibrated_binary_cross_entropy(*tensors, collisions=targets, ids=ids, beta=0.3, max_cells=8)

    assert torch.autograd.gradcheck(compute_loss, leaves)


@pytest.mark.parametrize(("negatives", "items", "t"), [(256, 3417, 0.75), (1, 1000, 0.2), (99, 100, 0.5)])
def test_positive_power_equals_the_paper(negatives: int, items: int, t: float) -> None:
    alpha = negatives / (items - 1)
    assert compute_positive_power(negatives, items, t) == pytest.approx(alpha * (t * (1 - 1 / alpha) + 1 / alpha))
    assert compute_positive_power(negatives, items, 0.0) == 1.0
    assert compute_positive_power(negatives, items, 1.0) == pytest.approx(alpha)


def test_without_calibration_loss_is_plain_binary_cross_entropy() -> None:
    (hidden, negatives, rows), _, _ = sample_inputs(6, 3, 50, 1)
    never = torch.full((6,), -1)
    loss = calibrated_binary_cross_entropy(
        hidden, negatives, rows, collisions=never, ids=torch.arange(3), beta=compute_positive_power(3, 50, 0.0)
    )
    scores = torch.cat(((hidden * rows).sum(-1, keepdim=True), hidden @ negatives.T), dim=1)
    labels = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(6, 4)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(scores, labels))


@pytest.mark.parametrize(("t", "is_minimum"), [(1.0, True), (0.0, False)])
def test_full_calibration_turns_scores_into_probabilities(t: float, is_minimum: bool) -> None:
    """With σ(score) equal to each item's share of targets, the expected loss is minimal for t = 1 only."""
    shares = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)
    scores = shares.logit()[:, None].requires_grad_()
    beta = compute_positive_power(2, 5, t)
    expected = torch.zeros((), dtype=torch.float64)
    for target in range(5):
        pairs = [list(p) for p in itertools.combinations(range(5), 2) if target not in p]
        for pair in pairs:
            expected = expected + shares[target] / len(pairs) * calibrated_binary_cross_entropy(
                torch.ones(1, 1, dtype=torch.float64),
                scores[pair],
                scores[[target]],
                collisions=torch.tensor([target]),
                ids=torch.tensor(pair),
                beta=beta,
            )
    expected.backward()
    assert scores.grad is not None
    assert (scores.grad.abs().max().item() < 1e-12) == is_minimum


def test_large_scores_neither_overflow_nor_lose_the_gradient() -> None:
    hidden = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    loss = calibrated_binary_cross_entropy(
        hidden,
        torch.ones(1, 1),
        torch.ones(2, 1),
        collisions=torch.tensor([1, 1]),
        ids=torch.tensor([2]),
        beta=0.25,
    )
    # a certain negative costs 1000, a lost positive a quarter of that; both are halved twice
    assert loss.item() == pytest.approx((1000 + 250) / 4)
    loss.backward()
    torch.testing.assert_close(hidden.grad, torch.tensor([[1.0], [-0.25]]) / 4)


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cells = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.cells = max(self.cells, out.numel())
        return out


def test_no_tensor_exceeds_max_cells() -> None:
    leaves, targets, ids = sample_inputs(60, 50, 70, 0)
    with LargestTensor() as largest:
        calibrated_binary_cross_entropy(*leaves, collisions=targets, ids=ids, beta=0.5, max_cells=400).backward()
    assert largest.cells == 400
