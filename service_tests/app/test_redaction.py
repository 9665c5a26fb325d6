"""Texts without secrets: URLs, options, bearer tokens and API keys."""

import pytest

from app.api_keys import generate_key
from app.redaction import redact_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://u:a@b@host/0?password=x&db=1", "redis://***@host/0?password=***&db=1"),
        ("at redis://:p/w?x@host:1, twice", "at redis://***@host:1, twice"),
        ("unix:///a@b/c", "unix:///a@b/c"),
        ("http://host/models", "http://host/models"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("nextup_http_request_duration_seconds_bucket_x1 5", "nextup_http_request_duration_seconds_bucket_x1 5"),
        (f"shop:read+write:{'a' * 64}", "shop:read+write:***"),
    ],
)
def test_secrets_are_replaced_and_other_text_stays(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_generated_keys_are_replaced() -> None:
    for _ in range(50):
        token, entry = generate_key("shop", ["read"])
        assert redact_text(f"key {token}.") == "key nextup_***."
        assert entry.rpartition(":")[2] not in redact_text(entry)
