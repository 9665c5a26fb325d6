"""The scan of product codes against numpy: scores, order of ties, what is denied or not allowed, on every level."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.codes_scan import CodesScan
from models.native.library import Library
from service_tests.models.native.native_library import built_library


@pytest.fixture(scope="module")
def library() -> Library:
    return built_library()


def expected(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(B, num_items + 1) → (B, k): falling score, rising item; 0 for what scores −inf."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found: NDArray[np.int64] = np.where(np.isneginf(np.take_along_axis(scores, order, 1)), 0, order)
    return found


@settings(deadline=None, max_examples=80)
@given(
    level=st.sampled_from(["avx512vbmi", "avx512", "avx2", "generic"]),
    num_items=st.integers(1, 120),
    count=st.sampled_from([1, 2, 3, 8, 9, 16, 17, 32, 33, 65]),
    packed=st.booleans(),
    splits=st.integers(1, 6),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_the_best_are_those_of_numpy(
    level: str, num_items: int, count: int, packed: bool, splits: int, seed: int, data: st.DataObject
) -> None:
    """Products are whole numbers: sums are exact in any order, and ties abound."""
    library = built_library()
    if level not in library.levels:
        return
    rng = np.random.default_rng(seed)
    splits, codebook = (4 * splits, 64) if packed else (splits, 40)
    codes = rng.integers(0, codebook, (num_items + 1, splits))
    kept = packing.pack(torch.from_numpy(codes)).numpy() if packed else codes.astype(np.uint8)
    products = rng.integers(-5, 6, (count, splits * codebook)).astype(np.float32)
    scores = products[:, codes + np.arange(splits) * codebook].sum(-1)
    scores[:, 0] = -np.inf
    excluded = [rng.integers(1, num_items + 1, size) for size in rng.integers(0, 2 * num_items, count)]
    allow_masks = [rng.random(num_items + 1) < 0.5 if one else None for one in rng.integers(0, 2, count)]
    for row in range(count):
        scores[row, excluded[row]] = -np.inf
        if (mask := allow_masks[row]) is not None:
            scores[row, ~mask] = -np.inf
    k = data.draw(st.integers(1, num_items))
    scan = CodesScan(library, kept, splits, codebook, are_packed=packed, level=library.levels.index(level))
    items, found = scan.find_top_k(products, k, excluded=excluded, allow_masks=allow_masks)
    assert np.array_equal(items, expected(scores, k))
    assert np.array_equal(found, np.where(items > 0, np.take_along_axis(scores, items, 1), -np.inf))


def test_scores_are_those_of_the_embedding(library: Library) -> None:
    torch.manual_seed(0)
    embedding = CodesEmbedding(1000, 64)
    embedding.reset_special()
    hidden = torch.randn(32, 64)
    pieces = embedding.pieces.weight.unflatten(0, (embedding.num_subspaces, embedding.codebook_size))
    products = torch.einsum("mcd,nmd->nmc", pieces, hidden.unflatten(1, (embedding.num_subspaces, -1))).flatten(1)
    scan = CodesScan(library, embedding.kept.numpy(), embedding.num_subspaces, embedding.codebook_size, are_packed=True)
    items, found = scan.find_top_k(products.detach().numpy(), 10)
    scores = embedding.scores(hidden).detach()[:, 1:]
    best = scores.topk(10)
    assert np.array_equal(items, best.indices.numpy() + 1)
    np.testing.assert_allclose(found, best.values.numpy(), rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused(library: Library) -> None:
    codes = np.zeros((11, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="bytes per item are not 8 codes"):
        CodesScan(library, codes, 8, 64, are_packed=True)
    with pytest.raises(ValueError, match="codes below 65"):
        CodesScan(library, codes, 4, 65, are_packed=True)
    scan = CodesScan(library, codes, 4, 64, are_packed=True)
    for shape, k in (((2, 255), 3), ((2, 256), 0), ((2, 256), 11)):
        with pytest.raises(ValueError, match="do not go with 10 items"):
            scan.find_top_k(np.zeros(shape, dtype=np.float32), k)
    with pytest.raises(ValueError, match="a mask has an entry for each of 11 rows"):
        scan.find_top_k(np.zeros((1, 256), dtype=np.float32), 1, allow_masks=[np.ones(10, dtype=bool)])
