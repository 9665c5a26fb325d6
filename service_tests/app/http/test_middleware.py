"""What every request passes: ids, bounds, problem details, the last catch."""

from collections.abc import AsyncIterator

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2:3", True), ("x" * 129, False), ("a b", False), ("", False)])
async def test_a_harmless_request_id_is_kept_and_another_replaced(given: str, kept: bool, service: Service) -> None:
    response = await service.http.get("/livez", headers={"X-Request-ID": given})
    assert (response.headers["x-request-id"] == given) == kept
    assert len(response.headers["x-request-id"]) <= 128


async def test_a_body_that_says_it_is_too_long_is_not_read(service: Service) -> None:
    response = await service.http.post("/events", content=b" " * 200_001, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
    assert "200000 bytes" in response.json()["detail"]


async def test_a_body_in_pieces_is_cut_off_at_the_bound(service: Service) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b" " * 10_000

    response = await service.http.post("/events", content=pieces(), headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/json", ""])
async def test_another_content_type_is_told_what_to_send(kind: str, service: Service) -> None:
    response = await service.http.post("/recommend", content=b'{"history": ["i1"]}', headers={"content-type": kind})
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/recommend", 405), ("GET", "/events", 405), ("DELETE", "/", 405)],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    method: str, path: str, status: int, service: Service
) -> None:
    response = await service.http.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} == set(problem)
    assert problem["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
async def test_a_body_that_is_no_object_is_a_client_error(body: bytes, service: Service) -> None:
    response = await service.http.post("/recommend", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


async def test_an_error_of_ours_is_told_without_its_inside(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(service.state["users"], "history", broken)
    response = await service.http.get("/users/u/history", headers={"X-Request-ID": "find-me"})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert "find-me" in caplog.text
    assert "the secret inside" in caplog.text
    route = 'code="500",method="GET",route="/users/{user_id}/history"'
    assert await service.read_metric(f"nextup_http_requests_total{{{route}}}") >= 1
