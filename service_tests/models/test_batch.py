"""Batches: times are padded like their items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch import NO_TIME, pad_right


@given(
    histories=st.lists(st.lists(st.integers(1, 100), min_size=1, max_size=9), min_size=1, max_size=5),
    max_len=st.integers(1, 6),
)
def test_padded_times_stay_aligned_with_their_items(histories: list[list[int]], max_len: int) -> None:
    arrays = [np.array(history, dtype=np.int64) for history in histories]
    batch = pad_right(arrays, max_len, [(history + 50).astype(np.uint32) for history in arrays])
    assert batch.times is not None
    expected = np.where(batch.items == 0, NO_TIME, batch.items + 50)
    assert batch.times.tolist() == expected.tolist()


def test_batch_without_times_has_none() -> None:
    batch = pad_right([np.array([1, 2])], 5)
    assert batch.times is None
    assert batch.request_times is None


def test_times_of_another_length_raise() -> None:
    for times in ([3], [3, 4, 5]):
        with pytest.raises(ValueError, match="one time per event"):
            pad_right([np.array([1, 2])], 5, [np.array(times, dtype=np.uint32)])
