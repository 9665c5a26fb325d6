"""The hot path and the route answer every body alike.

A content type with a parameter has the same meaning but bypasses the hot path, and so reaches the route.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.recommend.fast_schema import parse_strict
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
HOT_PATH = {"content-type": "application/json"}
ROUTE = {"content-type": "application/json; charset=utf-8"}

ids = st.sampled_from(
    ["i1", "i7", "i60", "unknown", "", "ü{}\x7f", "x" * 128, "x" * 129, "\U0001f600" * 128]
) | st.text(max_size=4)
odd: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.just({}) | st.just(10**30) | st.just("5")
)
filters = st.sampled_from([{"attribute": "categories", "contains_any": ["odd"]}, {"any": []}])
rules = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "filter": filters,
            "add": st.sampled_from([1, -0.5, 21, "1"]) | odd,
            "slots": st.integers(0, 3) | odd,
            "positions": st.lists(st.integers(0, 3), max_size=2) | odd,
        },
    ),
    max_size=6,
)
lists = st.lists(ids | st.integers(-1, 9), max_size=4)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "user_id": ids | odd,
        "history": lists | odd,
        "k": st.integers(1, 60) | st.sampled_from([0, 100, 101, 5.0, 1e300]) | odd,
        "exclude_seen": st.booleans() | st.sampled_from(["true", "no", 1]) | odd,
        "exclude": lists | odd,
        "candidates": lists | st.none() | odd,
        "categories": st.lists(st.sampled_from(["odd", "low", "", 5, "\U0001f600"]), max_size=101) | odd,
        "min_history_version": st.integers(-1, 2) | odd,
        "explain": st.booleans() | odd,
        "include": st.lists(st.sampled_from(["title", "categories", "score", 1]), max_size=9) | odd,
        "boost": rules | odd,
        "promote": rules | odd,
        "limit_per": st.dictionaries(st.sampled_from(["categories", "brand", ""]), st.integers(0, 3)) | odd,
        "diversity": st.sampled_from([0, 0.5, 1, 2, "0.5"]) | odd,
        "placement": ids | odd,
        "version": ids | odd,
        "kk": odd,
    },
)
plain_bodies = st.fixed_dictionaries(
    {"history": st.lists(st.sampled_from(["i1", "i7", "unknown"]), max_size=4)},
    optional={
        "user_id": st.sampled_from(["u", "v"]),
        "k": st.integers(1, 101),
        "exclude_seen": st.booleans(),
        "exclude": st.lists(st.sampled_from(["i5", "i6"])),
        "candidates": st.none() | st.lists(st.sampled_from(["i2", "i3", "missing"])),
        "categories": st.lists(st.sampled_from(["odd", "low"])),
        "min_history_version": st.none() | st.integers(0, 10**20),
        "explain": st.booleans(),
        "include": st.lists(st.sampled_from(["title", "categories"]), max_size=8),
        "limit_per": st.dictionaries(st.sampled_from(["categories", "brand"]), st.integers(1, 3)),
        "diversity": st.sampled_from([0, 0.5, 1]),
    },
)


def normalize(response: httpx.Response) -> tuple[Any, ...]:
    """Return the response without ids and times, which differ between requests."""
    body = {key: value for key, value in response.json().items() if key not in ("recommendation_id", "request_id")}
    headers: dict[str, Any] = {
        key: value for key, value in response.headers.items() if key not in ("content-length", "x-request-id")
    }
    if "server-timing" in headers:
        headers["server-timing"] = [part.split("=")[0] for part in headers["server-timing"].split(", ")]
    return response.status_code, body, headers, set(response.headers)


async def assert_same_response(service: Service, body: bytes, **headers: str) -> tuple[Any, ...]:
    hot_path, route = [
        await service.http.post("/recommend", content=body, headers=kind | headers) for kind in (HOT_PATH, ROUTE)
    ]
    assert normalize(hot_path) == normalize(route)
    return normalize(hot_path)


@given(bodies | plain_bodies)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_body_gets_the_same_response(service: Service, body: dict[str, Any]) -> None:
    await assert_same_response(service, json.dumps(body).encode())


@given(plain_bodies)
@settings(deadline=None)
def test_hot_path_parses_bodies_of_the_documented_types(body: dict[str, Any]) -> None:
    params = parse_strict(json.dumps(body).encode())
    assert params is not None
    assert {name: getattr(params, name) for name in body} == body


@given(st.binary(max_size=12) | st.text('{}[]",:\\ue0k153-. \n\ttrufalsn', max_size=24).map(str.encode))
@example(b'{"history": ["i1"], "k": 5}'.decode().encode("utf-16"))
@example(b'\xef\xbb\xbf{"history": ["i1"]}')
@example(b'{"history": ["i1"], "k": NaN}')
@example(b'{"history": ["i1"], "k": 5, "k": 3}')
@example(b'{"history": ["i1"], "k": "x", "k": 3}')
@example(b'{"history": ["i1"], "k": 05}')
@example(b'{"history": ["i1"], "k": 1e1}')
@example(b'{"history": ["i1"], "k": ' + b"9" * 5000 + b"}")
@example(b'{"history": ["i1"], "min_history_version": -0}')
@example(b'{"history": ["i1"], "\\u006b": 3}')
@example(b'{"history": ["\\ud83d\\ude00", "\\u0000"]}')
@example(b'{"history": ["\\ud800"]}')
@example(b'{"history": ["\xed\xa0\x80"]}')
@example(b'{"user_id": "\xff"}')
@example(b'{"history": ["a\x01"]}')
@example(b'{"history": ["i1"],}')
@example(b'{"history": ["i1"]} x')
@example(b'\n {"history" :["i1"]}\t')
@example(b"[" * 50_000)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_text_is_valid_or_invalid_json_for_both(service: Service, body: bytes) -> None:
    await assert_same_response(service, body)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("1", 504),
        ("60", 504),
        ("060", 504),
        ("600001", 422),
        ("0", 422),
        ("-5", 422),
        ("60.5", 422),
        ("soon", 422),
        ("", 422),
        ("9999999999", 422),
    ],
)
async def test_deadline_is_met_or_rejected_alike(value: str, status: int, service: Service) -> None:
    with service.model.engine.block_thread():
        async with asyncio.timeout(5):  # less than the service's own deadline
            answer = await assert_same_response(service, b'{"history": ["i1"]}', **{"x-request-deadline-ms": value})
    assert answer[0] == status


@pytest.mark.parametrize("value", ["600000", "+9000", "9_000", "9000.0"])
async def test_long_deadline_is_parsed_alike(value: str, service: Service) -> None:
    await assert_same_response(service, b'{"history": ["i1"]}', **{"x-request-deadline-ms": value})


async def test_service_errors_are_alike(
    service_with: Callable[..., AbstractAsyncContextManager[Service]], tmp_path: Path
) -> None:
    with EmbeddedRedis.start(tmp_path) as redis:
        async with service_with(redis_url=redis.url, redis_timeout_ms=300) as service:
            await service.post_events("u", "i7")
            assert (await assert_same_response(service, b'{"user_id": "u", "min_history_version": 2}'))[0] == 409
            assert (await assert_same_response(service, b'{"user_id": "u", "k": 101}'))[0] == 422
            assert (await assert_same_response(service, b'{"user_id": "u"}'))[0] == 200
            assert (await assert_same_response(service, b'{"user_id": "' + b"u" * 200_000 + b'"}'))[0] == 413
            redis.stop()
            assert (await assert_same_response(service, b'{"user_id": "u"}'))[1]["reason"] == "store_unavailable"
            assert (await assert_same_response(service, b'{"user_id": "u", "min_history_version": 2}'))[0] == 503


async def test_score_that_is_not_finite_is_an_internal_error_for_both(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = service.state["engine"].servable.catalogue
    monkeypatch.setattr(type(catalogue), "count", lambda *_: float("nan"))
    assert (await assert_same_response(service, b'{"history": []}'))[0] == 500


async def test_chunked_body_above_limit_is_rejected_alike(service: Service) -> None:
    async def stream_chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    answers = [
        await service.http.post("/recommend", content=stream_chunks(), headers=kind) for kind in (HOT_PATH, ROUTE)
    ]
    assert normalize(answers[0]) == normalize(answers[1])
    assert answers[0].status_code == 413


@pytest.mark.parametrize("kind", [HOT_PATH, ROUTE])
async def test_both_are_counted_under_the_same_route(service: Service, kind: dict[str, str]) -> None:
    bodies_and_codes = {b'{"history": ["i1"]}': 200, b"{}": 422}
    for body, code in bodies_and_codes.items():
        line = f'nextup_http_requests_total{{code="{code}",method="POST",route="/recommend"}}'
        before = await service.read_metric(line)
        await service.http.post("/recommend", content=body, headers=kind)
        assert await service.read_metric(line) == before + 1
