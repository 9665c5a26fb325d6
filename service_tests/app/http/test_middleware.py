"""Request ids, body limits, problem details and the last exception handler of RequestMiddleware."""

from collections.abc import AsyncIterator

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("header", "is_safe"), [("abc-1.2:3", True), ("x" * 129, False), ("a b", False), ("", False)])
async def test_safe_request_id_is_safe_and_unsafe_replaced(header: str, is_safe: bool, service: Service) -> None:
    response = await service.http.get("/livez", headers={"X-Request-ID": header})
    assert (response.headers["x-request-id"] == header) == is_safe
    assert len(response.headers["x-request-id"]) <= 128


async def test_content_length_above_limit_gets_413(service: Service) -> None:
    response = await service.http.post("/events", content=b" " * 200_001, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
    assert "200000 bytes" in response.json()["detail"]


async def test_chunked_body_above_limit_gets_413(service: Service) -> None:
    async def stream_chunks() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 10_000

    response = await service.http.post("/events", content=stream_chunks(), headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/json", ""])
async def test_other_content_type_gets_415_that_names_json(media_type: str, service: Service) -> None:
    response = await service.http.post(
        "/recommend", content=b'{"history": ["i1"]}', headers={"content-type": media_type}
    )
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/recommend", 405), ("GET", "/events", 405), ("DELETE", "/", 405)],
)
async def test_framework_errors_are_problems(method: str, path: str, status: int, service: Service) -> None:
    response = await service.http.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id", "errors"} == set(problem)
    assert problem["type"] == f"urn:nextup:problem:{ {404: 'not-found', 405: 'method-not-allowed'}[status] }"
    assert problem["errors"] == []
    assert problem["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
async def test_body_that_is_not_an_object_is_a_client_error(body: bytes, service: Service) -> None:
    response = await service.http.post("/recommend", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


async def test_internal_error_hides_its_cause_from_the_client(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(service.state["users"], "read_history", fail)
    response = await service.http.get("/users/u/history", headers={"X-Request-ID": "find-me"})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert "find-me" in caplog.text
    assert "the secret inside" in caplog.text
    route = 'code="500",method="GET",route="/users/{user_id}/history"'
    assert await service.read_metric(f"nextup_http_requests_total{{{route}}}") >= 1
