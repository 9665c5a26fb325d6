"""Refined codes give better scores than nearest centroids for hidden vectors that are not alike in all directions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.catalogue.catalogue import Catalogue
from models.embeddings.assignment import quantize_vectors
from models.embeddings.code_refinement import PLAIN_SHARE, refine_codes
from models.embeddings.codes import MAX_REFINED_ITEMS, CodesEmbedding

NUM_ITEMS, DIM = 300, 8


def make_moments(seed: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator)).Q
    moments: Tensor = directions @ torch.diag(spread ** -torch.arange(DIM, dtype=torch.float32)) @ directions.T
    return moments


def decode(codes: Tensor, centroids: Tensor) -> Tensor:
    codebooks = centroids.unflatten(0, (codes.shape[1], -1))
    return torch.cat([codebooks[j][codes[:, j]] for j in range(codes.shape[1])], dim=1)


def compute_error(vectors: Tensor, weights: Tensor, decoded: Tensor, metric: Tensor) -> float:
    errors = vectors - decoded
    return float((((errors @ metric) * errors).sum(1) * weights).sum())


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), spread=st.floats(1.0, 4.0), size=st.sampled_from([4, 16, 64]))
def test_error_of_scores_falls(seed: int, spread: float, size: int) -> None:
    torch.manual_seed(seed)
    vectors, weights = torch.randn(NUM_ITEMS, DIM), torch.rand(NUM_ITEMS) + 0.1
    moments = make_moments(seed, spread)
    codes, centroids = quantize_vectors(vectors, weights, DIM // 2, size)
    refined, refined_centroids = refine_codes(vectors, weights, codes, centroids, moments)
    metric = moments / moments.diagonal().mean() + PLAIN_SHARE * torch.eye(DIM)
    before = compute_error(vectors, weights, decode(codes, centroids), metric)
    after = compute_error(vectors, weights, decode(refined, refined_centroids), metric)
    assert after <= before * 1.001
    assert int(refined.max()) < size
    if spread >= 2 and size > 4:
        assert after < 0.9 * before


def make_embedding(codebook: int, num_items: int = NUM_ITEMS) -> CodesEmbedding:
    return CodesEmbedding(num_items, DIM, codebook=codebook)


def test_refined_embedding_scores_closer_to_the_table() -> None:
    torch.manual_seed(0)
    counts = np.arange(NUM_ITEMS, 0, -1)
    names = [f"i{number}" for number in range(NUM_ITEMS)]
    catalogue = Catalogue(names, counts, [None] * NUM_ITEMS, [[]] * NUM_ITEMS)
    table = torch.cat((torch.zeros(1, DIM), torch.randn(NUM_ITEMS, DIM)))
    moments = make_moments(3, 3.0)
    hidden = torch.randn(500, DIM) @ torch.linalg.cholesky(moments).T
    embedding = make_embedding(16)
    embedding.approximate(table, catalogue)
    weights = torch.from_numpy(counts).float()

    @torch.no_grad()
    def measure() -> float:
        return float(((embedding.scores(hidden) - hidden @ table.T)[:, 1:].square() * weights).mean())

    before = measure()
    embedding.refine(table, catalogue, moments)
    assert measure() < 0.8 * before
    assert embedding.table()[0].abs().max() == 0


@pytest.mark.parametrize(
    ("codebook", "num_items", "is_refinable"),
    [(64, 300, True), (256, 300, True), (64, 64, False), (64, MAX_REFINED_ITEMS + 1, False)],
    ids=["few codes", "many codes", "a code per item", "large catalogue"],
)
def test_codes_are_refined_where_they_lose_accuracy(codebook: int, num_items: int, is_refinable: bool) -> None:
    assert make_embedding(codebook, num_items).is_refinable is is_refinable
