"""Keys: one slot per user, unique per user, and decodable; limits derived from settings."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from app.stores.errors import InvalidId
from app.stores.keys import DAY_MS, HistoryLimits, build_items_key, build_user_keys, parse_user_id

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
    assert parse_user_id(keys.events) == user
    assert build_items_key(user) == keys.items


@given(users, users)
@example("}", "%7D")
def test_different_users_have_different_keys(first: str, second: str) -> None:
    assert (first == second) == (build_user_keys(first).items == build_user_keys(second).items)


@pytest.mark.parametrize("user", ["", "\ud800"])
def test_user_id_that_cannot_be_a_key_is_rejected(user: str) -> None:
    with pytest.raises(InvalidId):
        build_user_keys(user)


def test_limits_allow_an_eighth_trimmed_events_and_four_trimmed_ids_per_event() -> None:
    assert HistoryLimits.from_days(1000, 400, 7) == (1000, 400 * DAY_MS, 7 * DAY_MS, 126, 4000)
    assert HistoryLimits.from_days(3, 0, 1) == (3, 0, DAY_MS, 1, 12)
