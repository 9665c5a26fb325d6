"""Buckets have room for what falls into them, waste less than half of each side, and are few."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runners.buckets import SHORTEST, Bucket, bucket_of
from models.runners.last_used import LastUsed


@given(rows=st.integers(1, 1024), longest=st.integers(1, 5000), max_len=st.integers(1, 4096))
def test_a_bucket_has_room_and_is_not_twice_as_large_as_needed(rows: int, longest: int, max_len: int) -> None:
    bucket = bucket_of(rows, longest, max_len)
    read = min(longest, max_len)
    assert rows <= bucket.rows < 2 * rows
    assert read <= bucket.length <= min(max_len, max(SHORTEST, 2 * read))


def test_there_are_thirty_up_to_32_histories_of_200_items() -> None:
    assert len({bucket_of(rows, longest, 200) for rows in range(1, 33) for longest in range(1, 201)}) == 30
    assert bucket_of(3, 300, 200) == Bucket(4, 200)


def test_what_was_used_last_stays() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    kept = LastUsed[int, int](2)
    for number in (1, 2, 1, 3, 1, 2):
        assert kept.get(number, partial(make, number)) == number
        assert len(kept) <= 2
    assert made == [1, 2, 3, 2], "1 was used between"


def test_what_could_not_be_made_is_not_kept_and_room_was_made_before() -> None:
    kept = LastUsed[int, int](1)
    kept.get(1, lambda: 1)

    def fail() -> int:
        assert len(kept) == 0
        raise MemoryError

    with pytest.raises(MemoryError):
        kept.get(2, fail)
    assert len(kept) == 0
