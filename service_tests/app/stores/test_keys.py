"""Keys: one slot per user, no two users alike, and back to the user again."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from app.errors import InvalidRequest
from app.stores.keys import build_user_keys, parse_user_id

users = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(users)
@example("}")
@example("{}")
@example("}{a}")
@example("%7D")
def test_all_keys_of_a_user_lie_in_one_slot_and_name_the_user(user: str) -> None:
    keys = build_user_keys(user)
    assert len({key_slot(key) for key in keys}) == 1
    tag = keys.items.split(b"{", 1)[1].split(b"}", 1)[0]
    assert {key_slot(key) for key in keys} == {key_slot(tag)}
    assert parse_user_id(keys.events) == user


@given(users, users)
@example("}", "%7D")
def test_two_users_never_share_a_key(one: str, other: str) -> None:
    assert (one == other) == (build_user_keys(one).items == build_user_keys(other).items)


@pytest.mark.parametrize("user", ["", "\ud800"])
def test_what_cannot_be_a_user_id_is_refused(user: str) -> None:
    with pytest.raises(InvalidRequest):
        build_user_keys(user)
