"""The scan of blocks against numpy on every level: nothing is left out that could get in, in whatever order it lies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.embeddings import packing
from models.native.blocks_scan import PLACES, BlocksScan, in_blocks
from models.native.library import Library
from service_tests.models.native.native_library import built_library
from service_tests.models.native.test_codes_scan import expected

LEVELS = ["avx512vbmi", "avx512", "avx2", "generic"]


@pytest.fixture(scope="module")
def library() -> Library:
    return built_library()


@settings(deadline=None, max_examples=120)
@given(
    level=st.sampled_from(LEVELS),
    num_items=st.integers(1, 400),
    count=st.sampled_from([1, 2, 3, 7, 8, 9, 16, 33]),
    splits=st.sampled_from([2, 4, 6, 32]),
    codebook=st.sampled_from([1, 3, 40, 64]),
    width=st.sampled_from([0, 1, 5, 1000]),
    shuffled=st.booleans(),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_the_best_are_those_of_numpy(
    level: str,
    num_items: int,
    count: int,
    splits: int,
    codebook: int,
    width: int,
    shuffled: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    """Products are whole numbers: sums are exact in any order, and ties abound. They are far from zero, too."""
    library = built_library()
    if level not in library.levels:
        return
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, codebook, (num_items + 1, splits), dtype=np.uint8)
    products = rng.integers(-width, width + 1, (count, splits * codebook)).astype(np.float32) + rng.integers(-50, 50)
    scores = products[:, codes + np.arange(splits) * codebook].sum(-1)
    scores[:, 0] = -np.inf
    excluded = [rng.integers(1, num_items + 1, size) for size in rng.integers(0, 2 * num_items, count)]
    allow_masks = [rng.random(num_items + 1) < 0.5 if one else None for one in rng.integers(0, 2, count)]
    for row in range(count):
        scores[row, excluded[row]] = -np.inf
        if (mask := allow_masks[row]) is not None:
            scores[row, ~mask] = -np.inf
    k = data.draw(st.integers(1, num_items))
    places = np.arange(num_items + 1, dtype=np.int32)
    if shuffled:
        places = rng.permutation(np.concatenate([places, np.zeros(-(num_items + 1) % PLACES, dtype=np.int32)]))
    scan = BlocksScan(
        library,
        in_blocks(codes[places]),
        num_items,
        codebook,
        items=places if shuffled else None,
        level=library.levels.index(level),
    )
    items, found = scan.find_top_k(products, k, excluded=excluded, allow_masks=allow_masks)
    assert np.array_equal(items, expected(scores, k))
    assert np.array_equal(found, np.where(items > 0, np.take_along_axis(scores, items, 1), -np.inf))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("count", "probes"), [(1, 1), (1, 5), (3, 2), (40, 5), (40, 12)])
def test_lists_that_are_read_give_the_best_of_their_items_and_no_others(
    library: Library, level: str, count: int, probes: int
) -> None:
    if level not in library.levels:
        pytest.skip(f"this processor does not run {level}")
    rng = np.random.default_rng(count + probes)
    sizes = rng.integers(0, 4, 12)  # in blocks; some lists are empty
    starts = np.concatenate([[0], np.cumsum(sizes)])
    num_items = int(starts[-1]) * PLACES
    items = rng.permutation(num_items).astype(np.int32) + 1
    items[rng.random(num_items) < 0.1] = 0
    codes = rng.integers(0, 64, (num_items, 8), dtype=np.uint8)  # by place
    products = rng.integers(-5, 6, (count, 8 * 64)).astype(np.float32)
    lists = np.argsort(rng.random((count, 12)), axis=1)[:, :probes].astype(np.int32)
    of_list = np.repeat(np.arange(12), sizes * PLACES)
    scores = np.full((count, num_items + 1), -np.inf, dtype=np.float32)
    scores[:, items] = products[:, codes + np.arange(8) * 64].sum(-1)
    is_read = (lists[:, :, None] == of_list).any(1)
    for row in range(count):
        scores[row, items[~is_read[row]]] = -np.inf
    scores[:, 0] = -np.inf
    scan = BlocksScan(
        library, in_blocks(codes), num_items, 64, items=items, starts=starts, level=library.levels.index(level)
    )
    found, values = scan.find_top_k(products, 50, lists=lists)
    assert np.array_equal(found, expected(scores, 50))
    assert np.array_equal(values, np.where(found > 0, np.take_along_axis(scores, found, 1), -np.inf))


def test_products_that_differ_widely_lose_nothing(library: Library) -> None:
    """One split has nearly all of the range, so that the others are rounded to a few bytes."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 64, (5_001, 32), dtype=np.uint8)
    products = rng.normal(size=(5, 32, 64)).astype(np.float32)
    products[:, 7] *= 1000
    flat = products.reshape(5, -1)
    scores = flat[:, codes + np.arange(32) * 64].sum(-1, dtype=np.float64)
    scores[:, 0] = -np.inf
    items, found = BlocksScan(library, in_blocks(codes), 5_000, 64).find_top_k(flat, 10)
    np.testing.assert_allclose(found, np.sort(scores, axis=1)[:, :-11:-1], rtol=1e-6)
    assert np.array_equal(np.sort(items, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :10], axis=1))


def test_blocks_hold_codes_as_they_are_packed() -> None:
    codes = np.random.default_rng(0).integers(0, 64, (130, 6), dtype=np.uint8)
    blocks = in_blocks(codes)
    assert blocks.shape == (3, 6, 48)
    again = packing.unpack(torch.from_numpy(blocks)).numpy().transpose(0, 2, 1).reshape(-1, 6)
    assert np.array_equal(again[:130], codes)
    assert not again[130:].any()


def test_what_does_not_fit_is_refused(library: Library) -> None:
    blocks = np.zeros((1, 4, 48), dtype=np.uint8)
    for wrong, codebook in (
        (blocks[:, :3], 64),
        (blocks[:, :, :40], 64),
        (blocks, 65),
        (np.zeros((1, 258, 48), "u1"), 64),
    ):
        with pytest.raises(ValueError, match="are no blocks of an even number of codes"):
            BlocksScan(library, wrong, 10, codebook)
    with pytest.raises(ValueError, match="do not go with 10 items"):
        BlocksScan(library, blocks, 10, 64).find_top_k(np.zeros((1, 256), dtype=np.float32), 11)
