"""Keys: one slot per user, unique per user, and decodable; limits derived from settings."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from app.stores.errors import InvalidId
from app.stores.keys import (
    DAY_MS,
    HistoryLimits,
    build_items_key,
    build_log_key,
    build_user_keys,
    list_log_keys,
    parse_user_id,
)

users = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(users)
@example("}")
@example("{}")
@example("}{a}")
@example("%7D")
def test_keys_of_a_user_share_one_slot_and_decode_to_the_user(user: str) -> None:
    keys = build_user_keys(user)
    assert len({key_slot(key) for key in keys}) == 1
    tag = keys.items.split(b"{", 1)[1].split(b"}", 1)[0]
    assert {key_slot(key) for key in keys} == {key_slot(tag)}
    assert parse_user_id(keys.items) == user
    assert build_items_key(user) == keys.items


@given(users, users)
@example("}", "%7D")
def test_different_users_have_different_keys(first: str, second: str) -> None:
    assert (first == second) == (build_user_keys(first).items == build_user_keys(second).items)


@pytest.mark.parametrize("user", ["", "\ud800"])
def test_user_id_that_cannot_be_a_key_is_rejected(user: str) -> None:
    with pytest.raises(InvalidId):
        build_user_keys(user)


def test_limits_allow_four_trimmed_ids_per_event() -> None:
    assert HistoryLimits.from_days(1000, 400, 7) == (1000, 400 * DAY_MS, 7 * DAY_MS, 4000)
    assert HistoryLimits.from_days(3, 0, 1) == (3, 0, DAY_MS, 12)


@settings(deadline=None)  # the first call computes the keys of all slots
@given(users)
def test_stream_of_a_user_is_in_the_slot_of_its_keys(user: str) -> None:
    assert key_slot(build_log_key(user, is_cluster=True)) == key_slot(build_items_key(user))
    assert build_log_key(user, is_cluster=False) == b"n:log"


def test_every_slot_has_a_stream() -> None:
    keys = list_log_keys(is_cluster=True)
    assert [key_slot(key) for key in keys] == list(range(16_384))
    assert list_log_keys(is_cluster=False) == (b"n:log",)


def test_keys_of_streams_do_not_change() -> None:
    """Other versions of nextup must find the events."""
    keys = list_log_keys(is_cluster=True)
    assert (keys[0], keys[8000], keys[16_383]) == (b"n:log:{05cc}", b"n:log:{06g2}", b"n:log:{01k0}")
