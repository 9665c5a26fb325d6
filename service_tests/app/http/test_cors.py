"""Pages of other origins: none may call the API by default, those of NEXTUP_CORS_ORIGINS may, on either path."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pydantic import ValidationError

from app.api_keys import generate_key
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
SHOP, EVIL = "https://shop.example", "https://evil.example"
PLAIN, LENIENT = {"history": ["i1"], "k": 1}, {"history": [1], "k": 1}
"""Bodies that the hot path and the route answer."""


@pytest.fixture
async def shop(service_with: ServiceWith) -> AsyncIterator[Service]:
    async with service_with(cors_origins=f"{SHOP}, http://localhost:3000") as service:
        yield service


def ask(origin: str, method: str = "POST", headers: str = "authorization,content-type") -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}


@pytest.mark.parametrize("body", [PLAIN, LENIENT])
async def test_no_origin_is_allowed_by_default(body: dict[str, Any], service: Service) -> None:
    response = await service.http.post("/recommend", json=body, headers={"origin": SHOP})
    assert response.status_code == 200
    assert [name for name in response.headers if name.startswith("access-control")] == []
    response = await service.http.options("/recommend", headers=ask(SHOP))
    assert (response.status_code, response.headers.get("access-control-allow-origin")) == (405, None)


@pytest.mark.parametrize("body", [PLAIN, LENIENT])
async def test_allowed_origin_may_read_the_response(body: dict[str, Any], shop: Service) -> None:
    response = await shop.http.post("/recommend", json=body, headers={"origin": SHOP})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == SHOP
    assert "origin" in response.headers["vary"].lower()
    exposed = response.headers["access-control-expose-headers"].lower()
    assert {"x-request-id", "server-timing"} <= set(exposed.split(", "))
    response = await shop.http.post("/recommend", json=body, headers={"origin": EVIL})
    assert "access-control-allow-origin" not in response.headers
    assert "origin" in response.headers["vary"].lower(), "caches must not answer one origin with another's headers"


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [("/recommend", b"{", 422), ("/nowhere", b"{}", 404), ("/recommend", b" " * 200_001, 413)],
)
async def test_allowed_origin_may_read_errors(path: str, content: bytes, status: int, shop: Service) -> None:
    headers = {"origin": SHOP, "content-type": "application/json"}
    response = await shop.http.post(path, content=content, headers=headers)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, SHOP)


async def test_allowed_origin_may_read_internal_errors(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(shop.state["users"], "read_history", fail)
    response = await shop.http.get("/users/u/history", headers={"origin": SHOP})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (500, SHOP)


async def test_preflight_of_allowed_origin_needs_no_key(service_with: ServiceWith) -> None:
    async with service_with(cors_origins=SHOP, api_keys=generate_key("reader", ["read"])[1]) as service:
        response = await service.http.options("/recommend", headers=ask(SHOP))
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == SHOP
        assert "POST" in response.headers["access-control-allow-methods"]
        assert response.headers["x-request-id"]
        assert (await service.http.post("/recommend", json=PLAIN, headers={"origin": SHOP})).status_code == 401


@pytest.mark.parametrize(
    ("headers", "reason"),
    [(ask(EVIL), "origin"), (ask(SHOP, "PUT"), "method"), (ask(SHOP, headers="x-other"), "headers")],
)
async def test_refused_preflight_is_a_problem_that_names_the_setting(
    headers: dict[str, str], reason: str, shop: Service
) -> None:
    response = await shop.http.options("/recommend", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (403, "application/problem+json")
    assert f"with this {reason} are not allowed; see NEXTUP_CORS_ORIGINS" in response.json()["detail"]


async def test_preflight_allows_the_methods_that_a_path_has(shop: Service) -> None:
    operations = (await shop.http.get("/openapi.json")).json()["paths"]
    assert {"put", "patch", "delete"} <= {method for path in operations.values() for method in path}
    for template, declared in operations.items():
        path = template.format_map(Names())
        methods = (await shop.http.options(path)).headers["allow"].split(", ")
        assert {method.upper() for method in declared} <= set(methods), path
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = await shop.http.options(path, headers=ask(SHOP, method))
            assert response.status_code == (204 if method in methods else 403), (path, method)
            if method in methods:
                assert response.headers["access-control-allow-methods"].split(", ") == methods


class Names(dict[str, str]):
    """A value for every parameter of a path."""

    def __missing__(self, name: str) -> str:
        return "home"


async def test_star_allows_every_origin(service_with: ServiceWith) -> None:
    async with service_with(cors_origins="*") as service:
        response = await service.http.get("/livez", headers={"origin": EVIL})
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("text", ["shop.example", "https://shop.example/path", "ftp://x", "https://", "https://a:b:c"])
def test_invalid_origin_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match=r"must list origins such as https://shop\.example"):
        Settings(cors_origins=text)
