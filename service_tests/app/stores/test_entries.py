"""Entries: key and time of an event round-trip, whatever the time, and other layouts are recognized."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stores.entries import ENTRY_BYTES, MAX_TIME_S, encode_entry
from app.stores.records import MAX_TIMESTAMP_MS
from app.stores.results import decode_history
from models.catalogue.item_key import item_keys

milliseconds = st.integers(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS)


def build_value(*entries: bytes, version: int = 7, trimmed: int = 0, size: int = ENTRY_BYTES) -> bytes:
    return struct.pack("<QII", version, trimmed, size) + b"".join(entries)


@given(times=st.lists(milliseconds | st.integers(0, 10_000), max_size=6), trimmed=st.integers(0, 3))
def test_retained_entries_decode_to_whole_seconds(times: list[int], trimmed: int) -> None:
    names = [f"item{number}" for number in range(len(times))]
    trimmed_entries = [encode_entry("trimmed", 99_000)] * trimmed
    history = decode_history(build_value(*trimmed_entries, *map(encode_entry, names, times), trimmed=trimmed))
    assert history.version == 7
    assert history.item_keys.tolist() == item_keys(names).tolist()
    assert history.times.tolist() == [min(max(time // 1000, 0), MAX_TIME_S) for time in times]


def test_entry_is_the_key_followed_by_the_time() -> None:
    assert encode_entry("a", 0x01020304 * 1000) == item_keys(["a"]).tobytes() + bytes([4, 3, 2, 1])
    assert ENTRY_BYTES == 12


@pytest.mark.parametrize("size", [0, 8, 16])
def test_value_of_another_layout_has_a_version_but_no_entries(size: int) -> None:
    three_keys = item_keys(["a", "b", "c"]).tobytes()  # as many bytes as two entries
    history = decode_history(build_value(three_keys, version=3, size=size))
    assert (history.version, len(history.entries), len(history.item_keys), len(history.times)) == (3, 0, 0, 0)


def test_missing_value_has_version_0() -> None:
    assert decode_history(None).version == 0
