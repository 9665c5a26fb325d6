"""Additive codes: better than one table after the other, repeatable, and exact where sums of rows suffice."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.embeddings.additive_codes import encode_additively, fit_additive_codes
from models.embeddings.assignment import quantize_vectors


def make_vectors(count: int = 400, dim: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def decode(codes: Tensor, rows: Tensor, size: int) -> Tensor:
    starts = torch.arange(codes.shape[1]) * size
    return rows[codes + starts].sum(1)


def compute_residual_error(vectors: Tensor, tables: int, size: int) -> float:
    """Compute the error of residual quantization without improvements."""
    for _ in range(tables):
        codes, centroids = quantize_vectors(vectors, torch.ones(len(vectors)), 1, size)
        vectors = vectors - centroids[codes[:, 0]]
    return vectors.square().mean().item()


def test_error_is_below_that_of_residual_quantization() -> None:
    vectors = make_vectors()
    codes, rows = fit_additive_codes(vectors, torch.ones(400), 4, 8)
    error = (decode(codes, rows, 8) - vectors).square().mean().item()
    assert error < 0.95 * compute_residual_error(vectors, 4, 8)
    assert codes.shape == (400, 4)
    assert int(codes.max()) < 8


def test_heavy_vectors_have_smaller_errors() -> None:
    vectors, weights = make_vectors(), torch.ones(400)
    weights[:40] = 50.0
    codes, rows = fit_additive_codes(vectors, weights, 3, 8)
    errors = (decode(codes, rows, 8) - vectors).square().sum(1)
    assert errors[:40].mean() < 0.7 * errors[40:].mean()


def test_codes_are_repeatable_and_leave_the_random_state_unchanged() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = fit_additive_codes(make_vectors(), torch.ones(400), 2, 4)
    assert torch.equal(torch.rand(3), expected)
    second = fit_additive_codes(make_vectors(), torch.ones(400), 2, 4)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 40), tables=st.integers(1, 5), size=st.integers(1, 9), scale=st.sampled_from([1e-6, 1.0, 1e3])
)
def test_any_shape_gives_finite_rows_close_to_the_vectors(count: int, tables: int, size: int, scale: float) -> None:
    """Also with more rows than vectors, where the least-squares system has no unique solution."""
    vectors = scale * make_vectors(count)
    codes, rows = fit_additive_codes(vectors, torch.ones(count), tables, size)
    assert codes.shape == (count, tables)
    assert rows.shape == (tables * size, 8)
    error = (decode(codes, rows, size) - vectors).square().sum()
    assert error <= 1.05 * vectors.square().sum()


def test_sums_of_rows_are_encoded_exactly_where_greedy_codes_suffice() -> None:
    bases = torch.stack([100.0 * torch.eye(8)[:4], torch.eye(8)[4:]])
    expected = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    assert torch.equal(encode_additively(decode(expected, bases.flatten(0, 1), 4), bases), expected)
