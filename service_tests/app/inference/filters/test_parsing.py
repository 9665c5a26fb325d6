"""Filter expressions of requests: what is accepted, and which part an error names."""

import json
from typing import Any

import pytest

from app.inference.filters import FilterError, parse_filter
from app.inference.filters.parsing import MAX_BYTES, MAX_DEPTH

DEEP: Any = {"attribute": "a", "eq": 1}
for _ in range(MAX_DEPTH):
    DEEP = {"not": DEEP}

WRONG: list[tuple[Any, str, str]] = [
    ([], "filter", "not a list"),
    ({}, "filter", "no fields"),
    ({"all": [], "any": []}, "filter", "'all', 'any'"),
    ({"all": []}, "filter.all", "at least one, not an empty list"),
    ({"any": {"attribute": "a", "eq": 1}}, "filter.any", "must be a list"),
    ({"most": []}, "filter.most", "is no part of a filter"),
    ({"attribute": "price"}, "filter", "needs a comparison"),
    ({"attribute": "", "eq": 1}, "filter.attribute", "1 to 64"),
    ({"attribute": 5, "eq": 1}, "filter.attribute", "must be a name"),
    ({"all": [{"attribute": "price", "lt": "cheap"}]}, "filter.all.0.lt", "RFC 3339"),
    (
        {"not": {"any": [{"attribute": "a", "eq": 1}, {"attribute": "b", "below": 3}]}},
        "filter.not.any.1.below",
        "use eq",
    ),
    ({"attribute": "price", "gte": True}, "filter.gte", "not a boolean"),
    ({"attribute": "a", "in": []}, "filter.in", "1 to 256"),
    ({"attribute": "a", "in": [1, None]}, "filter.in.1", "must be a number"),
    ({"attribute": "a", "contains_any": ["x", 5]}, "filter.contains_any.1", "text"),
    ({"attribute": "a", "exists": 1}, "filter.exists", "true or false"),
    ({"attribute": "a", "eq": "t" * 257}, "filter.eq", "256"),
    (DEEP, "filter" + ".not" * MAX_DEPTH, "more than 8 deep"),
    ({"all": [{"any": [{"attribute": "a", "eq": 1}] * 40}] * 2}, "filter.all.1.any.24.eq", "more than 64"),
]


@pytest.mark.parametrize(("value", "path", "reason"), WRONG, ids=[path for _, path, _ in WRONG])
def test_error_names_the_part(value: Any, path: str, reason: str) -> None:
    with pytest.raises(FilterError) as error:
        parse_filter(json.dumps(value).encode())
    assert error.value.path == path
    assert reason in error.value.reason


def test_size_and_syntax_are_checked() -> None:
    for text, reason in (
        (b'{"a": ' + b" " * MAX_BYTES + b"1}", "8,192"),
        (b"{", "invalid JSON"),
        (b"[" * 5000, "JSON"),
    ):
        with pytest.raises(FilterError, match=reason):
            parse_filter(text)


def test_deepest_and_widest_filter_is_accepted() -> None:
    for value in (DEEP["not"], {"any": [{"attribute": "a", "eq": 1}] * 64}):
        text = json.dumps(value).encode()
        assert parse_filter(text).text == text
