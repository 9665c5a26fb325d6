"""Sampled users keep their histories and times."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.data.dataset import Dataset
from models.data.sampling import sample_users
from service_tests.support.artifacts import tiny_catalogue


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(1, 40))
def test_sample_keeps_whole_histories_of_evenly_spaced_users(lengths: list[int], limit: int) -> None:
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    items = np.arange(offsets[-1]) % 60 + 1
    times = np.arange(offsets[-1], dtype=np.uint32)
    dataset = Dataset(tiny_catalogue(60), [str(user) for user in range(len(lengths))], offsets, items, times)
    sample = sample_users(dataset, limit)
    assert sample.num_users == min(limit, len(lengths))
    for row, name in enumerate(sample.user_ids):
        assert np.array_equal(sample.history(row), dataset.history(int(name)))
        assert np.array_equal(sample.history_times(row), dataset.history_times(int(name)))
    if limit > 1:
        assert {sample.user_ids[0], sample.user_ids[-1]} == {"0", str(len(lengths) - 1)}
