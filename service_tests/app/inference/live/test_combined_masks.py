"""Combined masks equal a combination of their parts at the moment, whatever was combined before."""

import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.inference.live.combined_masks import CombinedMasks
from app.inference.live.mask_cache import MAX_BYTES, Mask

OPERATIONS = {"all": np.logical_and, "any": np.logical_or}


def make_masks(count: int, num_items: int = 20) -> list[Mask]:
    rng = np.random.default_rng(count)
    return [rng.random(num_items) < 0.5 for _ in range(count)]


@given(st.lists(st.tuples(st.sampled_from(["all", "any"]), st.lists(st.integers(0, 4), min_size=1, max_size=3))))
def test_combination_is_that_of_the_masks_given_now(steps: list[tuple[str, list[int]]]) -> None:
    """One key for all masks of an operation: the masks of a key change with every step."""
    masks, combined = make_masks(5), CombinedMasks()
    for name, numbers in steps:
        parts = [masks[number] for number in numbers]
        operation = OPERATIONS[name]
        assert np.array_equal(combined.combine(name, parts, operation), operation.reduce(parts))


def test_same_masks_are_combined_once() -> None:
    combined, (first, second, third) = CombinedMasks(), make_masks(3)
    mask = combined.combine("key", [first, second], np.logical_and)
    assert combined.combine("key", [first, second], np.logical_and) is mask
    assert combined.combine("key", [first, third], np.logical_and) is not mask


def test_memory_is_bounded() -> None:
    combined, masks = CombinedMasks(), make_masks(2, num_items=MAX_BYTES // 4)
    for key in range(10):
        combined.combine(key, masks, np.logical_and)
    assert len(combined) == 4


def test_masks_that_were_replaced_are_not_kept() -> None:
    combined, (first, second) = CombinedMasks(), make_masks(2)
    combined.combine("key", [first, second], np.logical_and)
    reference = weakref.ref(first)
    del first
    assert reference() is None
