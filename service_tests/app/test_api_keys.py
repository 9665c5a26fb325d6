"""Authorization, rate limit and parsing of API keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api_keys import ApiKeys, generate_key, hash_token


def test_generated_key_is_authorized_by_its_own_entry_only() -> None:
    token, entry = generate_key("shop", ["read", "write"])
    other, _ = generate_key("shop", ["read"])
    keys = ApiKeys(f" {entry} ,")
    key = keys.find(token)
    assert key is not None
    assert (key.name, key.allows("read"), key.allows("write"), key.allows("admin")) == (
        "shop",
        True,
        True,
        False,
    )
    assert keys.find(other) is None
    assert token not in entry


def test_admin_key_allows_every_scope() -> None:
    token, entry = generate_key("ops", ["admin"])
    key = ApiKeys(entry).find(token)
    assert key is not None
    assert all(key.allows(scope) for scope in ("read", "write", "admin"))


@given(rate=st.floats(0.5, 50), gaps=st.lists(st.floats(0, 0.5), min_size=5, max_size=60))
def test_no_interval_exceeds_the_rate_plus_a_burst_of_one_second(rate: float, gaps: list[float]) -> None:
    now = 0.0
    token, entry = generate_key("shop", ["read"])
    keys = ApiKeys(entry, rate=rate, clock=lambda: now)
    key = keys.find(token)
    assert key is not None
    admitted_at = []
    for gap in gaps:
        now += gap
        if (wait_s := keys.take_token(key)) == 0:
            admitted_at.append(now)
        else:
            now += wait_s + 1e-6
            assert keys.take_token(key) == 0, "a client that waits for Retry-After is admitted"
            admitted_at.append(now)
    for first in range(len(admitted_at)):
        for last in range(first, len(admitted_at)):
            allowed = max(1.0, rate) + rate * (admitted_at[last] - admitted_at[first])
            assert last - first + 1 <= allowed + 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3cret", "entry 1 is not name:scopes:sha256: scopes must be one or more of read, write, admin"),
        (f"shop:read:{'a' * 64},s3cret:read:{'g' * 64}", "entry 2 is not .* the hash must have 64 hexadecimal digits"),
        (f"shop:s3cret:{'a' * 64}", "entry 1 is not .* scopes must be one or more of"),
        (f"s3cret::{'a' * 64}", "scopes must be one or more of"),
        (f"shop:read:{'a' * 64},shop:write:{'b' * 64}", "entry 2 .* its name 'shop' is defined twice"),
    ],
)
def test_error_for_an_invalid_entry_names_its_number_and_quotes_no_part_of_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ApiKeys(text)
    assert "s3cret" not in str(caught.value)


def test_key_in_the_place_of_its_entry_is_refused_without_quoting_it() -> None:
    token, _ = generate_key("shop", ["read"])
    for text in (token, f"{token}:read:{'a' * 64}"):
        with pytest.raises(ValueError, match=r"entry 1 .* begins with a key") as caught:
            ApiKeys(text)
        assert token not in str(caught.value)


def test_name_with_separators_raises() -> None:
    for name in ("", "a:b", "a,b", "a b"):
        with pytest.raises(ValueError, match="the name of a key must"):
            generate_key(name, ["read"])


def test_hash_is_plain_sha256() -> None:
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
