"""Requests that are rejected on their head: foreign hosts, invalid paths, compressed bodies, forms of other sites."""

import gzip
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api_keys import generate_key
from app.http.request_checks import AllowedHosts
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
JSON = {"content-type": "application/json"}
PLAIN, LENIENT = {"history": ["i1"], "k": 1}, {"history": [1], "k": 1}
"""Bodies that the hot path and the route answer."""


def assert_problem(response: httpx.Response, status: int, text: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert text in response.json()["detail"]


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST.:80", True),
        ("nextup.localhost:8000", True),
        ("[::1]:8000", True),
        ("10.0.0.7", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("127.0.0.1 evil", False),
    ],
)
@pytest.mark.parametrize("body", [PLAIN, LENIENT])
async def test_local_service_without_keys_serves_only_local_hosts(
    host: str, is_served: bool, body: dict[str, Any], service: Service
) -> None:
    response = await service.http.post("/recommend", json=body, headers={"host": host})
    if is_served:
        assert response.status_code == 200
    else:
        assert_problem(response, 421, "NEXTUP_ALLOWED_HOSTS")


@pytest.mark.parametrize(
    ("changes", "host", "is_served"),
    [
        ({"host": "0.0.0.0", "allow_anonymous": True}, "any.example", True),
        ({"api_keys": generate_key("reader", ["read"])[1]}, "any.example", True),
        ({"unix_socket": Path("nextup.sock")}, "any.example", True),
        ({"host": "127.1.2.3"}, "any.example", False),
        ({"allowed_hosts": "api.example"}, "api.example:443", True),
        ({"allowed_hosts": "api.example"}, "API.Example.", True),
        ({"allowed_hosts": "api.example"}, "127.0.0.1", False),
        ({"allowed_hosts": "api.example"}, "x.api.example", False),
        ({"allowed_hosts": "*.example, localhost"}, "a.b.example", True),
        ({"allowed_hosts": "*.example, localhost"}, "example", False),
        ({"allowed_hosts": "*.example, localhost"}, "badexample", False),
        ({"allowed_hosts": "*"}, "any.example", True),
    ],
)
def test_hosts_follow_the_settings(changes: dict[str, Any], host: str, is_served: bool) -> None:
    assert AllowedHosts.from_settings(Settings(**changes)).includes(host.encode()) == is_served


@pytest.mark.parametrize("path", ["/users/%FF/history", "/users/%EF%BF%BD%FE/history", "/items/%C3", "/%FF"])
async def test_path_that_is_not_utf8_is_rejected(path: str, service: Service) -> None:
    response = await service.http.get(path)
    assert_problem(response, 422, "path: must be UTF-8")
    assert response.json()["errors"] == [{"field": "path", "detail": "must be UTF-8, percent-encoded"}]


async def test_replacement_character_is_an_id_like_any_other(service: Service) -> None:
    await service.post_events("\ufffd", "i1")
    assert (await service.http.get("/users/%EF%BF%BD/history")).json()["user_id"] == "\ufffd"
    assert (await service.http.delete("/users/%FE")).status_code == 422
    assert (await service.http.delete("/users/%EF%BF%BD")).json()["keys_removed"] == 1


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
@pytest.mark.parametrize("body", [PLAIN, LENIENT])
async def test_compressed_body_gets_415(encoding: str, body: dict[str, Any], service: Service) -> None:
    content = gzip.compress(json.dumps(body).encode())
    response = await service.http.post("/recommend", content=content, headers={**JSON, "content-encoding": encoding})
    assert_problem(response, 415, "send the body uncompressed")


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_identity_is_no_compression(encoding: str, service: Service) -> None:
    response = await service.http.post("/recommend", json=PLAIN, headers={"content-encoding": encoding})
    assert response.status_code == 200


@pytest.mark.parametrize("length", ["-1", "x", "1" * 5000, "200001"])
async def test_invalid_or_too_large_length_gets_413(length: str, service: Service) -> None:
    response = await service.http.post("/recommend", content=b"{}", headers={**JSON, "content-length": length})
    assert_problem(response, 413, "200000 bytes")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),  # such as curl -X POST
        ({"content-type": "application/json"}, 404),
        ({"content-type": "application/json", "origin": "http://evil.example"}, 404),  # the browser has asked first
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": "http://evil.example"}, 415),
        ({"origin": "null"}, 415),
        ({"origin": "http://127.0.0.1"}, 404),
        ({"origin": "http://evil.example", "sec-fetch-site": "cross-site"}, 415),
        ({"origin": "http://127.0.0.1:9999", "sec-fetch-site": "same-site"}, 415),
        ({"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}, 404),
    ],
)
async def test_post_without_body_from_another_site_needs_json(
    headers: dict[str, str], status: int, service: Service
) -> None:
    response = await service.http.post("/models/no-such/activate", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("path", ["/events/", "/recommend/", "/livez/"])
async def test_final_slash_is_another_path_and_no_redirect(path: str, service: Service) -> None:
    for method in ("GET", "POST"):
        response = await service.http.request(method, path, headers={"host": "localhost"})
        assert (response.status_code, response.headers.get("location")) == (404, None)
