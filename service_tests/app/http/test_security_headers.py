"""Headers for browsers and caches on every response: pages, JSON, errors, scripts and metrics."""

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/recommend", b'{"history": ["i1"]}', 200),
        ("POST", "/recommend", b'{"history": [1]}', 200),  # not plain, so FastAPI handles it
        ("POST", "/recommend", b"{", 422),
        ("GET", "/users/ann/history", None, 200),
        ("GET", "/nowhere", None, 404),
        ("GET", "/livez", None, 200),
        ("HEAD", "/livez", None, 200),
        ("PUT", "/livez", None, 405),
    ],
)
async def test_json_is_not_stored_and_keeps_its_type(
    method: str, path: str, body: bytes | None, status: int, service: Service
) -> None:
    response = await service.http.request(method, path, content=body, headers=JSON if body else None)
    assert response.status_code == status
    assert response.headers.get_list("cache-control") == ["no-store"]
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_misdirected_request_is_not_stored(service: Service) -> None:
    response = await service.http.get("/livez", headers={"host": "other.example"})
    assert (response.status_code, response.headers["cache-control"]) == (421, "no-store")


@pytest.mark.parametrize("path", ["/metrics", "/docs/swagger-ui-bundle.js"])
async def test_other_types_may_be_cached_but_not_reinterpreted(path: str, service: Service) -> None:
    response = await service.http.get(path)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "cache-control" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc"])
async def test_pages_are_in_no_frame(path: str, service: Service) -> None:
    headers = (await service.http.get(path)).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "base-uri 'self'" in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "same-origin")
    assert headers["x-content-type-options"] == "nosniff"
