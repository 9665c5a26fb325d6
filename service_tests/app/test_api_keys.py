"""API keys: what an entry lets in, how often, and what is refused when settings are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api_keys import ApiKeys, generate_key, hash_token


def test_a_new_key_is_let_in_by_its_entry_and_by_no_other() -> None:
    token, entry = generate_key("shop", ["read", "write"])
    other, _ = generate_key("shop", ["read"])
    keys = ApiKeys(f" {entry} ,")
    found = keys.find(token)
    assert found is not None
    assert (found.name, found.allows("read"), found.allows("write"), found.allows("admin")) == (
        "shop",
        True,
        True,
        False,
    )
    assert keys.find(other) is None
    assert token not in entry


def test_admin_may_do_everything() -> None:
    token, entry = generate_key("ops", ["admin"])
    found = ApiKeys(entry).find(token)
    assert found is not None
    assert all(found.allows(scope) for scope in ("read", "write", "admin"))


@given(rate=st.floats(0.5, 50), gaps=st.lists(st.floats(0, 0.5), min_size=5, max_size=60))
def test_no_stretch_of_time_has_more_requests_than_the_rate_and_one_second_ahead(
    rate: float, gaps: list[float]
) -> None:
    now = 0.0
    token, entry = generate_key("shop", ["read"])
    keys = ApiKeys(entry, rate=rate, clock=lambda: now)
    key = keys.find(token)
    assert key is not None
    let_in = []
    for gap in gaps:
        now += gap
        if (wait_s := keys.take_token(key)) == 0:
            let_in.append(now)
        else:
            now += wait_s + 1e-6
            assert keys.take_token(key) == 0, "who waits as told is let in"
            let_in.append(now)
    for first in range(len(let_in)):
        for last in range(first, len(let_in)):
            allowed = max(1.0, rate) + rate * (let_in[last] - let_in[first])
            assert last - first + 1 <= allowed + 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shop", "API key 'shop'"),
        (f"shop:read:{'g' * 64}", "API key 'shop': name:scopes:sha256"),
        (f"shop:fly:{'a' * 64}", "API key 'shop': scopes are some of read, write, admin"),
        (f"shop::{'a' * 64}", "API key 'shop': scopes are some of"),
        (f"shop:read:{'a' * 64},shop:write:{'b' * 64}", "two API keys are called 'shop'"),
    ],
)
def test_what_cannot_be_read_is_told_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ApiKeys(text)


def test_a_name_that_would_break_an_entry_is_refused() -> None:
    for name in ("", "a:b", "a,b", "a b"):
        with pytest.raises(ValueError, match="a key's name"):
            generate_key(name, ["read"])


def test_the_hash_is_the_one_that_other_tools_compute() -> None:
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
