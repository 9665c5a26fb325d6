"""Values of histories: keys and times decode exactly, whatever the times, and other layouts are recognized."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DamagedHistory
from app.stores.entries import FORMAT, GAP, HEADER, MAX_TIME_S, compute_times_ms
from app.stores.records import MAX_TIMESTAMP_MS, NewEvent
from app.stores.results import decode_history
from models.catalogue.item_key import item_key, item_keys
from service_tests.app.stores.old_format import encode_old_items

milliseconds = (
    st.integers(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS)
    | st.integers(0, 10_000)
    | st.integers(GAP - 2, GAP + 2)
    | st.integers(0, 5).map(lambda number: number * GAP)
)


def encode_slots(names: list[str], times: list[int]) -> list[bytes]:
    """Encode as history.lua does: one slot per event, or two after a long gap."""
    slots, previous = [], None
    for name, time in zip(names, times, strict=True):
        gap = 0 if previous is None else time - previous
        if gap >= GAP:
            slots.append(struct.pack("<qI", previous, GAP))
            gap = 0
        slots.append(item_key(name) + struct.pack("<I", gap))
        previous = time
    return slots


def build_value(slots: list[bytes], last_ms: int, *, retained: int, trimmed: int = 0, room: int = 0) -> bytes:
    used = len(slots)
    header = HEADER.pack(7, retained, used, FORMAT, 0, trimmed, used + room, 0, last_ms, 0, 0)
    return header + b"".join(slots) + bytes(12 * room)


@given(times=st.lists(milliseconds, max_size=8).map(sorted), trimmed=st.integers(0, 3), room=st.integers(0, 3))
def test_retained_entries_decode_to_their_times(times: list[int], trimmed: int, room: int) -> None:
    names = [f"item{number}" for number in range(len(times))]
    slots = [item_key("trimmed") + bytes(4)] * trimmed + encode_slots(names, times)
    last_ms = times[-1] if times else -(2**62)
    history = decode_history(build_value(slots, last_ms, retained=len(times), trimmed=trimmed, room=room))
    assert (history.version, len(history)) == (7, len(times))
    assert history.item_keys.tolist() == item_keys(names).tolist()
    assert compute_times_ms(history.items).tolist() == times
    assert history.times.tolist() == [min(max(time // 1000, 0), MAX_TIME_S) for time in times]


@given(times=st.lists(milliseconds, max_size=6), trimmed=st.integers(0, 3))
def test_old_entries_decode_to_whole_seconds(times: list[int], trimmed: int) -> None:
    events = [NewEvent("u", f"item{number}", time) for number, time in enumerate([99_000] * trimmed + times)]
    history = decode_history(encode_old_items(events, version=9, trimmed=trimmed))
    assert (history.version, len(history), history.items.is_old) == (9, len(times), True)
    assert history.item_keys.tolist() == item_keys(event.item_id for event in events[trimmed:]).tolist()
    assert history.times.tolist() == [min(max(time // 1000, 0), MAX_TIME_S) for time in times]


@pytest.mark.parametrize("size", [0, 8, 16])
def test_value_of_another_layout_has_a_version_but_no_entries(size: int) -> None:
    three_keys = item_keys(["a", "b", "c"]).tobytes()  # as many bytes as two entries
    history = decode_history(struct.pack("<QII", 3, 0, size) + three_keys)
    assert (history.version, len(history), len(history.item_keys), len(history.times)) == (3, 0, 0, 0)


def test_missing_value_has_version_0() -> None:
    assert decode_history(None).version == 0


@pytest.mark.parametrize("change", [lambda value: value[:-1], lambda value: value + bytes(1), lambda value: value[:20]])
def test_value_of_another_size_is_damaged(change: object) -> None:
    value = build_value(encode_slots(["a", "b"], [1, 2]), 2, retained=2, room=1)
    assert callable(change)
    with pytest.raises(DamagedHistory):
        decode_history(change(value))
