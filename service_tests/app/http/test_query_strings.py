"""Query parameters that a path does not have are refused, also by the hot path; probes and pages ignore them."""

from typing import Any

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
PROBES = {"/livez", "/healthz", "/readyz", "/metrics"}


async def test_every_operation_refuses_an_unknown_parameter_except_probes(service: Service) -> None:
    document = (await service.http.get("/openapi.json")).json()
    paths: dict[str, Any] = document["paths"]
    assert len(paths) > 20
    for template, operations in paths.items():
        path = template
        for name in ("user_id", "item_id", "name", "version"):
            path = path.replace(f"{{{name}}}", "x")
        for method, operation in operations.items():
            response = await service.http.request(method.upper(), f"{path}?wrong=1", json={})
            if template in PROBES:
                assert response.status_code == 200, (method, template)
                continue
            assert response.status_code == 422, (method, template)
            (error,) = response.json()["errors"]
            assert error["field"] == "wrong", (method, template)
            known = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
            assert error["detail"].endswith(f"it has {', '.join(known) or 'none'}"), (method, template)


@pytest.mark.parametrize("address", ["/?user=ada", "/page/main.js?v=2", "/docs?x=1", "/openapi.json?x=1"])
async def test_pages_ignore_parameters(address: str, service: Service) -> None:
    assert (await service.http.get(address)).status_code == 200


async def test_misspelled_parameter_is_named_with_those_that_exist(service: Service) -> None:
    response = await service.http.get("/items?q=lamp&limit=3&Limit=5")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"] == [
        {"field": "q", "detail": "is no parameter of this path; it has query, limit"},
        {"field": "Limit", "detail": "is no parameter of this path; it has query, limit"},
    ]
    assert response.json()["detail"].startswith("q: is no parameter of this path; it has query, limit")


async def test_refused_request_changes_nothing(service: Service) -> None:
    await service.post_events("bob", "i1")
    assert (await service.http.delete("/users/bob?dry_run=1")).status_code == 422
    assert (await service.recommend(user_id="bob"))["history_length"] == 1
    assert (await service.http.delete("/users/bob?")).status_code == 200


async def test_plain_recommendation_with_a_query_is_refused_too(service: Service) -> None:
    body = {"user_id": "bob", "k": 3}
    assert (await service.http.post("/recommend", json=body)).status_code == 200
    assert (await service.http.post("/recommend?k=3", json=body)).status_code == 422


async def test_answer_to_many_and_long_parameters_is_bounded(service: Service) -> None:
    query = "&".join(f"{'x' * 300}{number}=1" for number in range(60))
    errors = (await service.http.get(f"/items?{query}")).json()["errors"]
    assert len(errors) == 50
    assert max(len(error["field"]) for error in errors) == 200
