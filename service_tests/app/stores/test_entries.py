"""Entries: the key and the time of an event come back, whatever the time, and other layouts are told apart."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.item_key import item_keys
from app.stores.entries import ENTRY_BYTES, MAX_TIME_S, encode_entry
from app.stores.records import MAX_TIMESTAMP_MS
from app.stores.results import decode_history

milliseconds = st.integers(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS)


def value(*entries: bytes, version: int = 7, dead: int = 0, size: int = ENTRY_BYTES) -> bytes:
    return struct.pack("<QII", version, dead, size) + b"".join(entries)


@given(times=st.lists(milliseconds | st.integers(0, 10_000), max_size=6), dead=st.integers(0, 3))
def test_the_retained_entries_come_back_in_whole_seconds(times: list[int], dead: int) -> None:
    names = [f"item{place}" for place in range(len(times))]
    died = [encode_entry("dead", 99_000)] * dead
    read = decode_history(value(*died, *map(encode_entry, names, times), dead=dead))
    assert read.version == 7
    assert read.item_keys.tolist() == item_keys(names).tolist()
    assert read.times.tolist() == [min(max(time // 1000, 0), MAX_TIME_S) for time in times]


def test_an_entry_has_the_key_first_and_then_the_time() -> None:
    assert encode_entry("a", 0x01020304 * 1000) == item_keys(["a"]).tobytes() + bytes([4, 3, 2, 1])
    assert ENTRY_BYTES == 12


@pytest.mark.parametrize("size", [0, 8, 16])
def test_a_value_of_another_layout_has_a_version_and_nothing_else(size: int) -> None:
    three_keys = item_keys(["a", "b", "c"]).tobytes()  # as many bytes as two entries
    read = decode_history(value(three_keys, version=3, size=size))
    assert (read.version, len(read.entries), len(read.item_keys), len(read.times)) == (3, 0, 0, 0)


def test_no_value_is_version_0() -> None:
    assert decode_history(None).version == 0
