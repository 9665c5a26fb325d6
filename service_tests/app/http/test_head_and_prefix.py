"""HEAD is answered like GET without a body; a path prefix holds for routes, hot path, keys, page and metrics."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pydantic import ValidationError

from app.api_keys import generate_key
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PLAIN, LENIENT = {"history": ["i1"], "k": 1}, {"history": [1], "k": 1}
"""Bodies that the hot path and the route answer."""


@pytest.mark.parametrize(
    "path",
    ["/", "/livez", "/readyz", "/healthz", "/models", "/items/i1", "/users/u/history", "/docs", "/openapi.json"],
)
async def test_head_equals_get_without_body(path: str, service: Service) -> None:
    get, head = await service.http.get(path), await service.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


async def test_head_of_metrics_and_of_errors_has_no_body(service: Service) -> None:
    assert (await service.http.head("/metrics")).status_code == 200
    response = await service.http.head("/items/unheard")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.content == b""
    response = await service.http.head("/recommend")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_allow_lists_head_next_to_get(service: Service) -> None:
    response = await service.http.delete("/livez")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


async def test_allow_names_the_methods_that_a_path_has_and_no_others(service: Service) -> None:
    schema = (await service.http.get("/openapi.json")).json()
    for template, operations in schema["paths"].items():
        path = template.replace("{user_id}", "u").replace("{item_id}", "i1").replace("{version}", "v")
        answers = {method: await service.http.request(method, path) for method in METHODS}
        refused = {method for method, answer in answers.items() if answer.status_code == 405}
        allowed = {answers[method].headers["allow"] for method in refused}
        assert allowed == {", ".join(method for method in METHODS if method not in refused)}, path
        assert {method.upper() for method in operations} <= set(METHODS) - refused, path


async def test_head_is_counted_as_head(service: Service) -> None:
    line = 'nextup_http_requests_total{code="200",method="HEAD",route="/livez"}'
    before = await service.read_metric(line)
    await service.http.head("/livez")
    assert await service.read_metric(line) == before + 1


async def test_head_needs_the_key_of_get(service_with: ServiceWith) -> None:
    key, entry = generate_key("writer", ["write"])
    async with service_with(api_keys=entry, metrics_key="watch") as service:
        for path in ("/users/u/history", "/metrics"):
            assert (await service.http.head(path)).status_code == 401
        response = await service.http.head("/users/u/history", headers={"Authorization": f"Bearer {key}"})
        assert response.status_code == 403


@pytest.mark.parametrize("prefix", ["", "/shop", "/a/b"])
@pytest.mark.parametrize("is_stripped", [True, False])
async def test_prefix_holds_for_every_layer(prefix: str, is_stripped: bool, service_with: ServiceWith) -> None:
    base = "" if is_stripped else prefix
    async with service_with(root_path=prefix) as service:
        for body in (PLAIN, LENIENT):
            line = 'nextup_http_requests_total{code="200",method="POST",route="/recommend"}'
            before = await read_metric(service, base, line)
            response = await service.http.post(f"{base}/recommend", json=body)
            assert response.status_code == 200
            assert await read_metric(service, base, line) == before + 1
        assert (await service.http.get(f"{base}/items/i1")).json()["item_id"] == "i1"
        assert (await service.http.get(f"{base}/users/a/history")).status_code == 200
        page = (await service.http.get(f"{base}/")).text
        assert f'<base href="{prefix}/">' in page
        assert 'href="/' not in page.replace(f'<base href="{prefix}/">', "")
        servers = (await service.http.get(f"{base}/openapi.json")).json().get("servers", [])
        assert servers == ([{"url": prefix}] if prefix else [])
        assert f"'{prefix}/openapi.json'" in (await service.http.get(f"{base}/docs")).text
        response = await service.http.get(f"{base}/nowhere")
        assert response.status_code == 404


async def read_metric(service: Service, base: str, line: str) -> float:
    text = (await service.http.get(f"{base}/metrics")).text
    return float(dict(row.rsplit(" ", 1) for row in text.splitlines() if row[0] != "#").get(line, 0))


@pytest.mark.parametrize("base", ["", "/shop"])
async def test_prefix_does_not_change_the_scope_of_a_path(base: str, service_with: ServiceWith) -> None:
    key, entry = generate_key("reader", ["read"])
    headers = {"Authorization": f"Bearer {key}"}
    body: dict[str, Any] = {"events": [{"user_id": "u", "item_id": "i1"}]}
    async with service_with(api_keys=entry, metrics_key="watch", root_path="/shop") as service:
        assert (await service.http.get(f"{base}/livez")).status_code == 200
        assert (await service.http.post(f"{base}/recommend", json=PLAIN)).status_code == 401
        assert (await service.http.post(f"{base}/recommend", json=PLAIN, headers=headers)).status_code == 200
        assert (await service.http.post(f"{base}/events", json=body, headers=headers)).status_code == 403
        assert (await service.http.post(f"{base}/models/v/activate", headers=headers)).status_code == 403
        assert (await service.http.delete(f"{base}/users/u", headers=headers)).status_code == 403
        assert (await service.http.get(f"{base}/metrics", headers=headers)).status_code == 401


async def test_path_that_only_begins_like_the_prefix_is_relative(service_with: ServiceWith) -> None:
    async with service_with(root_path="/shop") as service:
        assert (await service.http.get("/shopping")).status_code == 404
        assert (await service.http.get("/shop")).status_code == 200


@pytest.mark.parametrize("text", ["shop", "/shop?", "/a//b", "/models", "/recommend/x", "/ü", "/a b", "http://x/shop"])
def test_invalid_prefix_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="root_path"):
        Settings(root_path=text)


@pytest.mark.parametrize(("text", "prefix"), [("/", ""), ("/shop/", "/shop"), (" /a/b ", "/a/b")])
def test_final_slash_of_a_prefix_is_dropped(text: str, prefix: str) -> None:
    assert Settings(root_path=text).root_path == prefix
