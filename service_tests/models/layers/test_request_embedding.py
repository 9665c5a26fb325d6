"""Vectors of request times: only the next event counts, and no request gets a vector that was never trained."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.batch import NO_TIME, SequenceBatch
from models.layers.request_embedding import RequestEmbedding
from models.recommender import SequentialRecommender
from models.times import NUM_INTERVALS
from service_tests.models.runners.random_models import NUM_ITEMS, make_config, make_random_model

LENGTHS, START, HOUR = [1, 2, 9, 16, 17, 30], 10**9, 3600


@pytest.fixture(scope="module", params=["blossom", "sasrec", "blossomrec", "lsan"])
def model(request: pytest.FixtureRequest) -> SequentialRecommender:
    config = dataclasses.replace(make_config(request.param, dim=16, max_len=30), periods=8, request_times=True)
    return make_random_model(config)


def make_batch() -> SequenceBatch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(LENGTHS)
    is_event = torch.arange(30) < lengths[:, None]
    items = torch.randint(1, NUM_ITEMS + 1, (len(LENGTHS), 30), generator=generator) * is_event
    times = START + torch.randint(1, 10**6, items.shape, generator=generator).cumsum(1)
    requests = times[torch.arange(len(LENGTHS)), lengths - 1] + HOUR
    return SequenceBatch(items, lengths, times * is_event, requests)


def find_changes(before: Tensor, after: Tensor) -> list[list[int]]:
    """List the positions of every row whose vectors differ."""
    return [torch.nonzero(row).flatten().tolist() for row in (before - after).abs().amax(-1) > 1e-4]


def test_last_position_equals_the_last_of_all_positions(model: SequentialRecommender) -> None:
    batch = make_batch()
    expected = model.encode(batch)[torch.arange(len(LENGTHS)), batch.lengths - 1]
    torch.testing.assert_close(model.encode_last(batch), expected, rtol=1e-4, atol=1e-4)


def test_request_time_changes_the_input_of_the_last_event_only(model: SequentialRecommender) -> None:
    batch = make_batch()
    assert batch.request_times is not None
    later = dataclasses.replace(batch, request_times=batch.request_times + 1000 * HOUR)
    assert find_changes(model.embed(batch), model.embed(later)) == [[length - 1] for length in LENGTHS]


def test_event_knows_the_next_time_and_none_after_it(model: SequentialRecommender) -> None:
    batch = make_batch()
    assert batch.times is not None
    times = batch.times.clone()
    times[-1, 20] += 10**6
    changes = find_changes(model.embed(batch), model.embed(dataclasses.replace(batch, times=times)))
    assert changes[:-1] == [[]] * (len(LENGTHS) - 1)
    assert 19 in changes[-1]
    assert set(changes[-1]) <= {19, 20, 21}


def test_rows_without_a_request_time_equal_a_batch_without_any(model: SequentialRecommender) -> None:
    batch = make_batch()
    assert batch.request_times is not None
    requests = batch.request_times.clone()
    requests[::2] = NO_TIME
    some = model.encode_last(dataclasses.replace(batch, request_times=requests))
    none = model.encode_last(dataclasses.replace(batch, request_times=None))
    torch.testing.assert_close(some[::2], none[::2], rtol=1e-4, atol=1e-4)
    assert ((some[1::2] - none[1::2]).abs().amax(-1) > 1e-3).all()


def test_history_without_times_ignores_the_request_time(model: SequentialRecommender) -> None:
    untimed = dataclasses.replace(make_batch(), times=None)
    without = dataclasses.replace(untimed, request_times=None)
    assert torch.equal(model.encode_last(untimed), model.encode_last(without))


def test_intervals_longer_than_the_log_has_count_as_its_longest() -> None:
    embedding = RequestEmbedding(0, 4)
    embedding.fit([START + np.arange(500, dtype=np.uint32) * HOUR, START + np.arange(3, dtype=np.uint32) * 10**8])
    times = torch.full((1, 3), START)
    hour, day, year = embedding(times, START + torch.tensor([[HOUR, 24 * HOUR, 24 * 365 * HOUR]]), None)[0]
    assert embedding.longest == 2 + 26, "two of 501 intervals have 10^8 seconds"
    assert not torch.equal(hour, day)
    embedding.fit([START + np.arange(5000, dtype=np.uint32) * HOUR, START + np.arange(3, dtype=np.uint32) * 10**8])
    assert embedding.longest == 2 + 11, "and now of 5,001, less than one in a thousand"
    hour, day, year = embedding(times, START + torch.tensor([[HOUR, 24 * HOUR, 24 * 365 * HOUR]]), None)[0]
    assert torch.equal(hour, day)
    assert torch.equal(hour, year)


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=5))
def test_log_without_real_times_limits_no_interval(ranks: list[list[int]]) -> None:
    embedding = RequestEmbedding(0, 4)
    embedding.fit([np.array(row, dtype=np.uint32) for row in ranks])
    assert embedding.longest == NUM_INTERVALS - 1
