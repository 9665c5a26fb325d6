"""Block scanner against numpy on every level: nothing eligible is skipped, in any order of slots and lists."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.embeddings import packing
from models.native.block_scanner import BLOCK_ITEMS, BlockScanner, group_centroids, pack_blocks
from models.native.library import Library
from service_tests.models.native.native_library import build_library_or_skip
from service_tests.models.native.test_code_scanner import find_expected

LEVELS = ["avx512vbmi", "avx512", "avx2", "generic"]


@pytest.fixture(scope="module")
def library() -> Library:
    return build_library_or_skip()


@settings(deadline=None, max_examples=120)
@given(
    level=st.sampled_from(LEVELS),
    num_items=st.integers(1, 400),
    count=st.sampled_from([1, 2, 3, 7, 8, 9, 16, 33]),
    num_subspaces=st.sampled_from([2, 4, 6, 32]),
    codebook_size=st.sampled_from([1, 3, 40, 64, 100, 256]),
    width=st.sampled_from([0, 1, 5, 1000]),
    shuffled=st.booleans(),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_top_k_equals_that_of_numpy(
    level: str,
    num_items: int,
    count: int,
    num_subspaces: int,
    codebook_size: int,
    width: int,
    shuffled: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    """Table entries are integers, so that sums are exact and ties frequent; their mean is far from zero."""
    library = build_library_or_skip()
    if level not in library.levels:
        return
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, codebook_size, (num_items + 1, num_subspaces), dtype=np.uint8)
    entries = rng.integers(-width, width + 1, (count, num_subspaces * codebook_size)) + rng.integers(-50, 50)
    lookup_tables = entries.astype(np.float32)
    scores = lookup_tables[:, codes + np.arange(num_subspaces) * codebook_size].sum(-1)
    scores[:, 0] = -np.inf
    excluded = [rng.integers(1, num_items + 1, size) for size in rng.integers(0, 2 * num_items, count)]
    allow_masks = [rng.random(num_items + 1) < 0.5 if is_masked else None for is_masked in rng.integers(0, 2, count)]
    for row in range(count):
        scores[row, excluded[row]] = -np.inf
        if (mask := allow_masks[row]) is not None:
            scores[row, ~mask] = -np.inf
    k = data.draw(st.integers(1, num_items))
    groups, blocked_codes = None, codes
    if codebook_size > BLOCK_ITEMS:
        codebooks = rng.normal(size=(num_subspaces, codebook_size, 2)).astype(np.float32)
        groups, group_of_code = group_centroids(codebooks)
        blocked_codes = group_of_code[np.arange(num_subspaces), codes]
    slots = np.arange(num_items + 1, dtype=np.int32)
    if shuffled:
        slots = rng.permutation(np.concatenate([slots, np.zeros(-(num_items + 1) % BLOCK_ITEMS, dtype=np.int32)]))
    scanner = BlockScanner(
        library,
        pack_blocks(blocked_codes[slots]),
        num_items,
        codebook_size,
        items=slots if shuffled else None,
        codes=None if groups is None else codes,
        groups=groups,
        level=library.levels.index(level),
    )
    items, values = scanner.find_top_k(lookup_tables, k, excluded=excluded, allow_masks=allow_masks)
    assert np.array_equal(items, find_expected(scores, k))
    assert np.array_equal(values, np.where(items > 0, np.take_along_axis(scores, items, 1), -np.inf))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("count", "nprobe"), [(1, 1), (1, 5), (3, 2), (40, 5), (40, 12)])
def test_top_k_comes_from_the_probed_lists_only(library: Library, level: str, count: int, nprobe: int) -> None:
    if level not in library.levels:
        pytest.skip(f"this processor does not run {level}")
    rng = np.random.default_rng(count + nprobe)
    sizes = rng.integers(0, 4, 12)  # in blocks; some lists are empty
    starts = np.concatenate([[0], np.cumsum(sizes)])
    num_items = int(starts[-1]) * BLOCK_ITEMS
    items = rng.permutation(num_items).astype(np.int32) + 1
    items[rng.random(num_items) < 0.1] = 0
    codes = rng.integers(0, 64, (num_items, 8), dtype=np.uint8)  # by slot
    lookup_tables = rng.integers(-5, 6, (count, 8 * 64)).astype(np.float32)
    lists = np.argsort(rng.random((count, 12)), axis=1)[:, :nprobe].astype(np.int32)
    list_of_slot = np.repeat(np.arange(12), sizes * BLOCK_ITEMS)
    scores = np.full((count, num_items + 1), -np.inf, dtype=np.float32)
    scores[:, items] = lookup_tables[:, codes + np.arange(8) * 64].sum(-1)
    is_probed = (lists[:, :, None] == list_of_slot).any(1)
    for row in range(count):
        scores[row, items[~is_probed[row]]] = -np.inf
    scores[:, 0] = -np.inf
    scanner = BlockScanner(
        library, pack_blocks(codes), num_items, 64, items=items, starts=starts, level=library.levels.index(level)
    )
    top_items, values = scanner.find_top_k(lookup_tables, 50, lists=lists)
    assert np.array_equal(top_items, find_expected(scores, 50))
    assert np.array_equal(values, np.where(top_items > 0, np.take_along_axis(scores, top_items, 1), -np.inf))


def test_tables_of_very_different_range_lose_no_item(library: Library) -> None:
    """One subspace has nearly all of the range, so that the others are rounded to a few byte values."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 64, (5_001, 32), dtype=np.uint8)
    lookup_tables = rng.normal(size=(5, 32, 64)).astype(np.float32)
    lookup_tables[:, 7] *= 1000
    flat = lookup_tables.reshape(5, -1)
    scores = flat[:, codes + np.arange(32) * 64].sum(-1, dtype=np.float64)
    scores[:, 0] = -np.inf
    items, values = BlockScanner(library, pack_blocks(codes), 5_000, 64).find_top_k(flat, 10)
    np.testing.assert_allclose(values, np.sort(scores, axis=1)[:, :-11:-1], rtol=1e-6)
    assert np.array_equal(np.sort(items, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :10], axis=1))


@pytest.mark.parametrize("num_codes", [1, 5, 64, 100, 128, 256])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_every_code_is_in_its_group(num_codes: int, width: int) -> None:
    codebooks = np.random.default_rng(num_codes).normal(size=(6, num_codes, width)).astype(np.float32)
    groups, group_of_code = group_centroids(codebooks)
    assert groups.shape == (6, 64, 4)
    assert groups.max() < num_codes
    for subspace in range(6):
        for code in range(num_codes):
            assert code in groups[subspace, group_of_code[subspace, code]]


def test_centroids_of_a_group_are_near_each_other() -> None:
    """Bounds of groups are tight only if their centroids are."""
    codebooks = np.random.default_rng(0).normal(size=(8, 256, 2)).astype(np.float32)
    groups, _ = group_centroids(codebooks)
    spread = codebooks[np.arange(8)[:, None, None], groups].var(axis=2).sum(-1).mean()
    assert spread < 0.1 * codebooks.var(axis=1).sum(-1).mean()


def test_blocks_have_the_byte_layout_of_packing() -> None:
    codes = np.random.default_rng(0).integers(0, 64, (130, 6), dtype=np.uint8)
    blocks = pack_blocks(codes)
    assert blocks.shape == (3, 6, 48)
    unpacked = packing.unpack(torch.from_numpy(blocks)).numpy().transpose(0, 2, 1).reshape(-1, 6)
    assert np.array_equal(unpacked[:130], codes)
    assert not unpacked[130:].any()


def test_inconsistent_shapes_raise(library: Library) -> None:
    blocks = np.zeros((1, 4, 48), dtype=np.uint8)
    for wrong_blocks, codebook_size in (
        (blocks[:, :3], 64),
        (blocks[:, :, :40], 64),
        (blocks, 65),
        (np.zeros((1, 258, 48), "u1"), 64),
    ):
        with pytest.raises(ValueError, match=r"blocks must have shape|codebook size must be between 1 and 64"):
            BlockScanner(library, wrong_blocks, 10, codebook_size)
    codes, groups = np.zeros((11, 4), dtype=np.uint8), np.zeros((4, 64, 4), dtype=np.uint8)
    for wrong_codes, wrong_groups in ((codes[1:], groups), (codes, groups[1:]), (None, groups)):
        with pytest.raises(ValueError, match="do not fit 10 items in 4 subspaces"):
            BlockScanner(library, blocks, 10, 256, codes=wrong_codes, groups=wrong_groups)
    with pytest.raises(ValueError, match="do not fit 10 items"):
        BlockScanner(library, blocks, 10, 64).find_top_k(np.zeros((1, 256), dtype=np.float32), 11)
