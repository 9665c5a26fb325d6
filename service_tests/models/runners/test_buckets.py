"""Buckets and their cache: large enough, at most twice too large, few, and evicted by last use."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runners.buckets import MIN_LENGTH, Bucket, choose_bucket
from models.runners.lru_cache import LruCache


@given(rows=st.integers(1, 1024), longest=st.integers(1, 5000), max_len=st.integers(1, 4096))
def test_bucket_fits_and_is_less_than_twice_as_large(rows: int, longest: int, max_len: int) -> None:
    bucket = choose_bucket(rows, longest, max_len)
    num_read = min(longest, max_len)
    assert rows <= bucket.rows < 2 * rows
    assert num_read <= bucket.length <= min(max_len, max(MIN_LENGTH, 2 * num_read))


def test_batches_of_32_histories_of_200_items_have_30_buckets() -> None:
    assert len({choose_bucket(rows, longest, 200) for rows in range(1, 33) for longest in range(1, 201)}) == 30
    assert choose_bucket(3, 300, 200) == Bucket(4, 200)


def test_cache_evicts_the_least_recently_used() -> None:
    calls: list[int] = []

    def make(number: int) -> int:
        calls.append(number)
        return number

    cache = LruCache[int, int](2)
    for number in (1, 2, 1, 3, 1, 2):
        assert cache.get(number, partial(make, number)) == number
        assert len(cache) <= 2
    assert calls == [1, 2, 3, 2], "1 was used in between"


def test_cache_evicts_before_making_and_does_not_cache_failures() -> None:
    cache = LruCache[int, int](1)
    cache.get(1, lambda: 1)

    def fail() -> int:
        assert len(cache) == 0
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.get(2, fail)
    assert len(cache) == 0
