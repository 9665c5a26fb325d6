"""Code scanner against numpy on every level: scores, ties and filters."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.code_scanner import CodeScanner
from models.native.library import Library
from service_tests.models.native.native_library import build_library_or_skip


@pytest.fixture(scope="module")
def library() -> Library:
    return build_library_or_skip()


def find_expected(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(B, num_items + 1) → (B, k) items by falling score, ties by rising item; 0 where the score is −inf."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    items: NDArray[np.int64] = np.where(np.isneginf(np.take_along_axis(scores, order, 1)), 0, order)
    return items


@settings(deadline=None, max_examples=80)
@given(
    level=st.sampled_from(["avx512vbmi", "avx512", "avx2", "generic"]),
    num_items=st.integers(1, 120) | st.integers(500, 1000),
    count=st.sampled_from([1, 2, 3, 8, 9, 16, 17, 32, 33, 65]),
    packed=st.booleans(),
    num_subspaces=st.integers(1, 6),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_top_k_equals_that_of_numpy(
    level: str, num_items: int, count: int, packed: bool, num_subspaces: int, seed: int, data: st.DataObject
) -> None:
    """Table entries are integers, so that sums are exact in any order and ties frequent."""
    library = build_library_or_skip()
    if level not in library.levels:
        return
    rng = np.random.default_rng(seed)
    num_subspaces, codebook_size = (4 * num_subspaces, 64) if packed else (num_subspaces, 40)
    codes = rng.integers(0, codebook_size, (num_items + 1, num_subspaces))
    stored_codes = packing.pack(torch.from_numpy(codes)).numpy() if packed else codes.astype(np.uint8)
    lookup_tables = rng.integers(-5, 6, (count, num_subspaces * codebook_size)).astype(np.float32)
    scores = lookup_tables[:, codes + np.arange(num_subspaces) * codebook_size].sum(-1)
    scores[:, 0] = -np.inf
    excluded = [rng.integers(1, num_items + 1, size) for size in rng.integers(0, 2 * num_items, count)]
    shares = rng.choice([0.0, 0.02, 0.5], count)
    allow_masks = [rng.random(num_items + 1) < share if share else None for share in shares]
    for row in range(count):
        scores[row, excluded[row]] = -np.inf
        if (mask := allow_masks[row]) is not None:
            scores[row, ~mask] = -np.inf
    k = data.draw(st.integers(1, num_items))
    scanner = CodeScanner(
        library, stored_codes, num_subspaces, codebook_size, are_packed=packed, level=library.levels.index(level)
    )
    items, values = scanner.find_top_k(lookup_tables, k, excluded=excluded, allow_masks=allow_masks)
    assert np.array_equal(items, find_expected(scores, k))
    assert np.array_equal(values, np.where(items > 0, np.take_along_axis(scores, items, 1), -np.inf))


def test_scores_equal_those_of_the_embedding(library: Library) -> None:
    torch.manual_seed(0)
    embedding = CodesEmbedding(1000, 64)
    embedding.reset_special()
    hidden = torch.randn(32, 64)
    codebooks = embedding.pieces.weight.unflatten(0, (embedding.num_subspaces, embedding.codebook_size))
    subspaces = hidden.unflatten(1, (embedding.num_subspaces, -1))
    lookup_tables = torch.einsum("mcd,nmd->nmc", codebooks, subspaces).flatten(1)
    scanner = CodeScanner(
        library, embedding.kept.numpy(), embedding.num_subspaces, embedding.codebook_size, are_packed=True
    )
    items, values = scanner.find_top_k(lookup_tables.detach().numpy(), 10)
    scores = embedding.scores(hidden).detach()[:, 1:]
    best = scores.topk(10)
    assert np.array_equal(items, best.indices.numpy() + 1)
    np.testing.assert_allclose(values, best.values.numpy(), rtol=1e-5, atol=1e-5)


def test_inconsistent_shapes_raise(library: Library) -> None:
    codes = np.zeros((11, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="bytes per item are not 8 codes"):
        CodeScanner(library, codes, 8, 64, are_packed=True)
    with pytest.raises(ValueError, match="codes below 65"):
        CodeScanner(library, codes, 4, 65, are_packed=True)
    scanner = CodeScanner(library, codes, 4, 64, are_packed=True)
    for shape, k in (((2, 255), 3), ((2, 256), 0), ((2, 256), 11)):
        with pytest.raises(ValueError, match="do not fit 10 items"):
            scanner.find_top_k(np.zeros(shape, dtype=np.float32), k)
    with pytest.raises(ValueError, match=r"an allow mask must have shape \(11,\)"):
        scanner.find_top_k(np.zeros((1, 256), dtype=np.float32), 1, allow_masks=[np.ones(10, dtype=bool)])
